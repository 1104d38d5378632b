//! A process's locals: the embedder's own values, keyed by type, and the hooks that run when the process ends.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::id::Pid;
use crate::panics::{Panic, drop_each, go_on};
use crate::sync::{Held, Snapshot};

type Value = Arc<dyn Any + Send + Sync>;

/// How a child's value is made from its parent's.
type Rule = fn(&Value) -> Option<Value>;

/// What `rfork` does with a value of type `T`.
pub struct Inherit<T>(Rule, PhantomData<fn(T)>);

impl<T: Any + Send + Sync> Inherit<T> {
    /// The child has the same value.
    pub const fn share() -> Self {
        Self(|value| Some(Arc::clone(value)), PhantomData)
    }

    /// The child has none.
    pub const fn drop() -> Self {
        Self(|_| None, PhantomData)
    }
}

impl<T: Any + Send + Sync + Clone> Inherit<T> {
    /// The child has a clone of the value, made in the parent's context while that calls `rfork`.
    pub const fn clone() -> Self {
        Self(|value| Some(Arc::new(value.downcast_ref::<T>()?.clone())), PhantomData)
    }
}

impl<T> fmt::Debug for Inherit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inherit")
    }
}

#[derive(Clone)]
struct Entry {
    key: TypeId,
    value: Value,
    inherit: Rule,
}

/// A process's values: few, so a row that is searched is faster than a map.
#[derive(Default)]
pub(crate) struct Row(Vec<Entry>);

impl Drop for Row {
    /// Each value in spite of the others' panics: with the last row that has them, several may go at once.
    fn drop(&mut self) {
        let mut panic = None;
        drop_each(self.0.drain(..), &mut panic);
        go_on(panic);
    }
}

pub(crate) type Hook = Box<dyn FnOnce(Pid) + Send>;

/// A process's values and exit hooks, made when the first is set.
pub(crate) struct Locals {
    row: Snapshot<Row>,
    exit_hooks: Mutex<Vec<Hook>>,
}

impl Locals {
    pub(crate) fn new() -> Self {
        Self::of(Row::default())
    }

    fn of(row: Row) -> Self {
        Self { row: Snapshot::new(Arc::new(row)), exit_hooks: Mutex::new(Vec::new()) }
    }

    /// What a child begins with; `None` if that is nothing. Exit hooks are not inherited.
    pub(crate) fn inherit(&self) -> Option<Self> {
        let parents = self.row.load();
        // A row from the first on: a clone that panics drops what was cloned before it.
        let mut row = Row::default();
        for entry in &parents.0 {
            row.0.extend((entry.inherit)(&entry.value).map(|value| Entry { value, ..entry.clone() }));
        }
        if row.0.is_empty() { None } else { Some(Self::of(row)) }
    }

    /// Whether nothing was set.
    pub(crate) fn is_empty(&self) -> bool {
        self.row.load().0.is_empty() && self.exit_hooks.lock().is_empty()
    }

    /// These, and of `others` what these have not.
    pub(crate) fn over(self, others: Option<Self>) -> Self {
        for other in others.iter().flat_map(|others| others.row.load().0.to_vec()) {
            if !self.row.load().0.iter().any(|entry| entry.key == other.key) {
                self.change(other.key, Some(other));
            }
        }
        self
    }

    /// The values as they are now. Where these are replaced meanwhile, to let go of them is to drop them.
    pub(crate) fn row(&self) -> Held<Row> {
        self.row.load()
    }

    /// Sets the value of type `T`, in the place of the one there was.
    pub(crate) fn set<T: Any + Send + Sync>(&self, value: T, inherit: Inherit<T>) {
        self.change(
            TypeId::of::<T>(),
            Some(Entry { key: TypeId::of::<T>(), value: Arc::new(value), inherit: inherit.0 }),
        );
    }

    /// Takes the value of type `T` away. Whether there was one.
    pub(crate) fn remove<T: Any + Send + Sync>(&self) -> bool {
        self.change(TypeId::of::<T>(), None)
    }

    /// Puts `new`, if anything, in the place of what has `key`. Whether anything had.
    fn change(&self, key: TypeId, new: Option<Entry>) -> bool {
        loop {
            let old = self.row.load();
            let mut row = Row(old.0.iter().filter(|entry| entry.key != key).cloned().collect());
            let replaced = row.0.len() < old.0.len();
            row.0.extend(new.clone());
            if self.row.replace(&old, Arc::new(row)) {
                return replaced;
            }
        }
    }

    pub(crate) fn on_exit(&self, hook: Hook) {
        self.exit_hooks.lock().push(hook);
    }

    /// The hook set last, to be run.
    pub(crate) fn take_exit_hook(&self) -> Option<Hook> {
        self.exit_hooks.lock().pop()
    }

    /// Drops the values, and hooks that came too late to run, each in spite of the others' panics.
    pub(crate) fn clear(&self, panic: &mut Option<Panic>) {
        loop {
            let old = self.row.load();
            // With these copies, the row that goes is the last holder of none.
            let values = old.0.to_vec();
            let taken = values.is_empty() || self.row.replace(&old, Arc::new(Row::default()));
            drop(old);
            drop_each(values, panic);
            if taken {
                break;
            }
        }
        drop_each(std::iter::from_fn(|| self.take_exit_hook()), panic);
    }
}

impl Drop for Locals {
    /// Of those that no process came to have; what a process had has left it before.
    fn drop(&mut self) {
        let mut panic = None;
        self.clear(&mut panic);
        go_on(panic);
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locals").field("values", &self.row.load().0.len()).finish_non_exhaustive()
    }
}

/// A process's value of type `T`, as it was when it was looked up. Held, it lives on even if the process ends, and so do
/// the other values that the process had then: no count is touched for one of them.
pub struct LocalRef<T> {
    row: Held<Row>,
    at: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Any> LocalRef<T> {
    /// The value of type `T` in `row`.
    pub(crate) fn of(row: Held<Row>) -> Option<Self> {
        let at = row.0.iter().position(|entry| entry.key == TypeId::of::<T>())?;
        Some(Self { row, at, of: PhantomData })
    }
}

impl<T: Any> Deref for LocalRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.row.0[self.at].value.downcast_ref().expect("an entry's key is its value's type")
    }
}

impl<T: Any + fmt::Debug> fmt::Debug for LocalRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
