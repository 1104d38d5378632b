use corosensei::stack::*;
pub(super) struct Stack {
    s: DefaultStack,
    color: usize,
}
unsafe impl corosensei::stack::Stack for Stack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.s.base().get() - self.color).unwrap()
    }
    fn limit(&self) -> StackPointer {
        self.s.limit()
    }
}
use crate::errno::*;
pub(super) struct StackPool {
    size: usize,
    free: Vec<Stack>,
    n: usize,
}
impl StackPool {
    pub(super) fn new(size: usize, _keep: usize) -> Result<Self> {
        Ok(Self { size, free: vec![], n: 0 })
    }
    pub(super) fn take(&mut self) -> Result<Stack> {
        self.n += 1;
        let step = std::env::var("STEP").map(|s| s.parse().unwrap()).unwrap_or(128);
        let m = std::env::var("MASK").map(|s| s.parse().unwrap()).unwrap_or(15);
        match self.free.pop() {
            Some(s) => Ok(s),
            None => {
                DefaultStack::new(self.size).map(|s| Stack { s, color: (self.n & m) * step }).map_err(|_| Errno::ENOMEM)
            }
        }
    }
    pub(super) fn put(&mut self, s: Stack) {
        self.free.push(s)
    }
}
