//! An array that grows by segments, each as long as all before it together, and never moves.
//!
//! ```text
//! FIRST = 4:   segment 0   0 1 2 3
//!              segment 1   4 5 6 7 8 9 10 11
//!              segment 2   12 ...                     27
//! ```
//!
//! Index `i` lies in the segment whose number is the position of the highest bit of `i + FIRST`, less that of `FIRST`.
//! A lookup is that computation and one load; a reference stays good as long as the array lives.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use crate::sync::{AtomicPtr, Ordering};

/// An element of [`Segments`].
pub(crate) trait Segment: Default {
    /// A new segment of `len` elements.
    fn segment(len: usize) -> Box<[Self]> {
        (0..len).map(|_| Self::default()).collect()
    }
}

/// An array of at most `COUNT` segments, the first of `FIRST` elements (a power of two).
pub(crate) struct Segments<T, const FIRST: usize, const COUNT: usize> {
    /// *Atomic*: null, then for good the first of the segment's elements.
    segments: [AtomicPtr<T>; COUNT],
    owned: PhantomData<Box<[T]>>,
}

impl<T: Segment, const FIRST: usize, const COUNT: usize> Segments<T, FIRST, COUNT> {
    /// How many elements all segments together hold.
    pub(crate) const CAPACITY: usize = (FIRST << COUNT) - FIRST;

    pub(crate) fn new() -> Self {
        const { assert!(FIRST.is_power_of_two()) };
        Self { segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())), owned: PhantomData }
    }

    #[inline]
    const fn locate(index: usize) -> (usize, usize) {
        let position = index + FIRST;
        let top = position.ilog2();
        ((top - FIRST.ilog2()) as usize, position - (1 << top))
    }

    const fn len_of(segment: usize) -> usize {
        FIRST << segment
    }

    /// The element at `index`, unless its segment is not there yet.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (segment, offset) = Self::locate(index);
        // Acquire: pairs with the Release in `ensure`, so that the elements are seen initialized.
        let first = self.segments.get(segment)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: a segment that is not null holds `len_of(segment)` elements, `offset` is below that, and segments
        // are freed in `drop` alone.
        Some(unsafe { &*first.add(offset) })
    }

    /// The element at `index`, its segment made if need be; `None` at [`Self::CAPACITY`] and beyond.
    pub(crate) fn ensure(&self, index: usize) -> Option<&T> {
        if let Some(element) = self.get(index) {
            return Some(element);
        }
        let (segment, _) = Self::locate(index);
        let place = self.segments.get(segment)?;
        let made = Box::into_raw(T::segment(Self::len_of(segment)));
        // Release: pairs with the Acquire in `get`.
        if place.compare_exchange(ptr::null_mut(), made.cast(), Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: the other maker's segment is in place, and nobody else has seen this one.
            drop(unsafe { Box::from_raw(made) });
        }
        self.get(index)
    }

    /// The segments that are there, each with the index of its first element.
    #[inline]
    pub(crate) fn segments(&self) -> impl Iterator<Item = (usize, &[T])> {
        self.segments.iter().enumerate().filter_map(|(segment, first)| {
            // Acquire: pairs with the Release in `ensure`.
            let first = first.load(Ordering::Acquire);
            if first.is_null() {
                return None;
            }
            let len = Self::len_of(segment);
            // SAFETY: as in `get`.
            Some((len - FIRST, unsafe { slice::from_raw_parts(first, len) }))
        })
    }

    /// All elements of all segments that are there, with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.segments().flat_map(|(first, elements)| (first..).zip(elements))
    }
}

impl<T, const FIRST: usize, const COUNT: usize> Drop for Segments<T, FIRST, COUNT> {
    fn drop(&mut self) {
        for (number, segment) in self.segments.iter_mut().enumerate() {
            // Relaxed: `&mut self` says that all others are done.
            let first = segment.load(Ordering::Relaxed);
            if !first.is_null() {
                // SAFETY: `ensure` made it from a box of that many elements, and nobody else has it.
                drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, FIRST << number)) });
            }
        }
    }
}

impl<T, const FIRST: usize, const COUNT: usize> fmt::Debug for Segments<T, FIRST, COUNT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("first", &FIRST).field("count", &COUNT).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Segment, Segments};

    #[derive(Default)]
    struct Cell(std::sync::atomic::AtomicUsize);
    impl Segment for Cell {}

    #[test]
    fn every_index_has_a_place_of_its_own_that_never_moves() {
        use std::sync::atomic::Ordering::Relaxed;
        let array = Segments::<Cell, 4, 3>::new();
        assert!(array.get(0).is_none());
        let places: Vec<*const Cell> = (0..28)
            .map(|index| {
                let cell = array.ensure(index).unwrap();
                cell.0.store(index, Relaxed);
                &raw const *cell
            })
            .collect();
        assert!(array.ensure(28).is_none() && array.get(28).is_none());
        assert_eq!(Segments::<Cell, 4, 3>::CAPACITY, 28);
        for (index, cell) in array.iter() {
            assert_eq!((cell.0.load(Relaxed), &raw const *cell), (index, places[index]));
        }
        assert_eq!(array.iter().count(), 28);
    }

    #[test]
    fn a_segment_comes_whole_and_alone() {
        let array = Segments::<Cell, 4, 3>::new();
        array.ensure(5).unwrap();
        assert!(array.get(3).is_none());
        assert!(array.get(4).is_some() && array.get(11).is_some());
        assert!(array.get(12).is_none());
    }
}
