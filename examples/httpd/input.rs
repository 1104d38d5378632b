//! What a connection has read and not used yet.

use super::piece::Piece;

/// Bytes that were read and are not used yet, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Input {
    piece: Option<Piece>,
    /// What of `piece` is read and not used.
    start: usize,
    end: usize,
    /// What was not used when the piece was given back; empty while there is one.
    kept: Vec<u8>,
}

impl Input {
    /// The bytes that are read and not used.
    pub(crate) fn unused(&self) -> &[u8] {
        self.piece.as_ref().map_or(&self.kept, |piece| &piece[self.start..self.end])
    }

    /// Uses `count` bytes up, and hands them out.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        if count == 0 {
            return &[];
        }
        self.fetch();
        let start = self.start;
        self.start += count;
        let piece = self.piece.as_ref().expect("it was fetched");
        &piece[..self.end][start..start + count]
    }

    /// Where more can be read to. Empty only if all of it is unused bytes.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.fetch();
        let piece = self.piece.as_mut().expect("it was fetched");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == piece.len() {
            piece.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut piece[self.end..]
    }

    /// `count` bytes were read to the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= super::piece::PIECE);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps no more memory than what is not used takes: it may be long until more comes.
    pub(crate) fn rest(&mut self) {
        if let Some(piece) = self.piece.take() {
            self.kept = piece[self.start..self.end].to_vec();
            (self.start, self.end) = (0, 0);
        }
    }

    fn fetch(&mut self) {
        if self.piece.is_none() {
            let mut piece = Piece::new();
            piece[..self.kept.len()].copy_from_slice(&self.kept);
            (self.start, self.end) = (0, self.kept.len());
            self.kept = Vec::new();
            self.piece = Some(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::PIECE;
    use super::Input;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut input = Input::default();
        let (mut sent, mut got) = (0_u32, 0_u32);
        // Lengths that fill the memory in many ways, wrapped or not, with rests in between.
        for length in (1..2000).cycle().step_by(7).take(5000) {
            if length % 3 == 0 {
                input.rest();
            }
            let room = input.room();
            let count = length.min(room.len());
            for byte in &mut room[..count] {
                *byte = sent as u8;
                sent += 1;
            }
            input.filled(count);
            if length % 5 == 0 {
                input.rest();
            }
            let take = input.unused().len().min(length / 2 + length % 5);
            for byte in input.take(take) {
                assert_eq!(*byte, got as u8);
                got += 1;
            }
        }
        assert!(got as usize > PIECE && sent - got == input.unused().len() as u32);
        input.clear();
        assert!(input.unused().is_empty() && input.take(0).is_empty());
    }
}
