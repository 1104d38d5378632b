//! The memory that a thread serves its connections with.

/// Bytes read from or written to a descriptor at a time.
pub(crate) const PIECE: usize = 64 * 1024;

/// What is read and not yet used, what is to be written. Used for one connection after the other.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Box<[u8]>,
    /// What of `input` is read and not used.
    start: usize,
    end: usize,
    /// A response's head, and its content if that is made here.
    pub(crate) output: Vec<u8>,
    /// A piece of a file, after the head if it is the first.
    pub(crate) piece: Box<[u8]>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            input: vec![0; PIECE].into(),
            start: 0,
            end: 0,
            output: Vec::with_capacity(4096),
            piece: vec![0; PIECE].into(),
        }
    }

    /// Forgets all, for the next connection.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        self.output.clear();
    }

    /// The bytes that are read and not used.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Uses `count` bytes up, and hands them out.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let taken = &self.input[self.start..self.end][..count];
        self.start += count;
        taken
    }

    /// Where more can be read to. Empty only if all of it is unused bytes.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.input[self.end..]
    }

    /// `count` bytes were read to the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.input.len());
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, PIECE};

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffers = Buffers::new();
        let (mut sent, mut got) = (0_u32, 0_u32);
        // Lengths that fill the buffer in many ways, wrapped or not.
        for length in (1..2000).cycle().step_by(7).take(5000) {
            let room = buffers.room();
            let count = length.min(room.len());
            for byte in &mut room[..count] {
                *byte = sent as u8;
                sent += 1;
            }
            buffers.filled(count);
            let take = buffers.unused().len().min(length / 2 + length % 5);
            for byte in buffers.take(take) {
                assert_eq!(*byte, got as u8);
                got += 1;
            }
        }
        assert!(got as usize > PIECE && sent - got == buffers.unused().len() as u32);
    }
}
