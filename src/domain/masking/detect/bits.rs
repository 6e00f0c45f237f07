//! What each of 64 bytes is, a bit each: where words, tokens, numbers and lines begin and end is told from a few of these
//! words of bits, and most of a text is never looked at byte by byte.

use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// The kinds of 64 bytes, the first byte in the lowest bit.
#[derive(Clone, Copy, Default)]
pub(super) struct Bits {
    pub(super) letters: u64,
    /// Letters of upper case.
    pub(super) upper: u64,
    pub(super) digits: u64,
    /// Whatever may stand in a token: letters, digits, `_ - + / = . ~`.
    pub(super) solid: u64,
    /// Digits, and what people put between them: space, `- . / ( )`.
    pub(super) grouped: u64,
    /// `. = ~`
    pub(super) marks: u64,
    pub(super) colons: u64,
    pub(super) newlines: u64,
}

impl Bits {
    /// Of the block that starts at `at`. What is beyond the end of the text is of no kind.
    pub(super) fn at(text: &[u8], at: usize) -> Self {
        let mut bits = [Self::default()];
        Self::of_each(text, at, &mut bits);
        bits[0]
    }

    /// Of each of the blocks from `at` on.
    pub(super) fn of_each(text: &[u8], at: usize, bits: &mut [Self]) {
        let rest = text.get(at..).unwrap_or(&[]);
        let (blocks, last) = rest.as_chunks::<BLOCK>();
        let (whole, beyond) = bits.split_at_mut(bits.len().min(blocks.len()));
        for (bits, block) in whole.iter_mut().zip(blocks) {
            *bits = Self::of(block);
        }
        if let Some((first, beyond)) = beyond.split_first_mut() {
            let mut block = [0; BLOCK];
            block[..last.len()].copy_from_slice(last);
            *first = Self::of(&block);
            beyond.fill(Self::default());
        }
    }

    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let (lanes, _) = block.as_chunks::<LANES>();
        let mut bits = Self::default();
        // One lane after the other: what is known of four would not fit the processor's registers.
        for (index, lane) in lanes.iter().enumerate() {
            let lane = Lane::of(u8x16::from(*lane));
            let place = index * LANES;
            let add = |bits: &mut u64, lane: u8x16| *bits |= u64::from(lane.to_bitmask()) << place;
            add(&mut bits.letters, lane.letters);
            add(&mut bits.upper, lane.upper);
            add(&mut bits.digits, lane.digits);
            add(&mut bits.solid, lane.solid);
            add(&mut bits.grouped, lane.grouped);
            add(&mut bits.marks, lane.marks);
            add(&mut bits.colons, lane.colons);
            add(&mut bits.newlines, lane.newlines);
        }
        bits
    }
}

/// How many bytes one instruction looks at.
pub(super) const LANES: usize = 16;

/// The kinds of as many bytes, all of whose bits are set where the byte is of the kind.
struct Lane {
    letters: u8x16,
    upper: u8x16,
    digits: u8x16,
    solid: u8x16,
    grouped: u8x16,
    marks: u8x16,
    colons: u8x16,
    newlines: u8x16,
}

impl Lane {
    #[inline]
    fn of(bytes: u8x16) -> Self {
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let between = |bytes: u8x16, first: u8, last: u8| {
            let offset = bytes - u8x16::splat(first);
            offset.min(u8x16::splat(last - first)).simd_eq(offset)
        };
        // The bit between the cases; what is no letter does not become one.
        let case = u8x16::splat(0x20);
        let letters = between(bytes | case, b'a', b'z');
        // - . / and digits
        let numeric = between(bytes, b'-', b'9');
        let marks = is(b'=') | is(b'~') | is(b'.');
        Self {
            letters,
            upper: letters & (bytes & case).simd_eq(u8x16::ZERO),
            digits: between(bytes, b'0', b'9'),
            solid: letters | numeric | marks | is(b'+') | is(b'_'),
            grouped: numeric | is(b' ') | between(bytes, b'(', b')'),
            marks,
            colons: is(b':'),
            newlines: is(b'\n'),
        }
    }
}

/// The bits of `count` bytes before each: those of `before`, the block before, come in.
#[inline]
pub(super) const fn earlier(bits: u64, before: u64, count: u32) -> u64 {
    bits << count | before >> (u64::BITS - count)
}

/// The bits of `count` bytes after each: those of `after`, the block after, come in.
#[inline]
pub(super) const fn later(bits: u64, after: u64, count: u32) -> u64 {
    bits >> count | after << (u64::BITS - count)
}

/// The 64 bits from `place` on: those of `after`, the block after, come in.
#[inline]
pub(super) const fn from_place(bits: u64, after: u64, place: usize) -> u64 {
    bits >> place | after << 1 << (u64::BITS as usize - 1 - place)
}

/// Two blocks in one.
#[inline]
pub(super) const fn joined(bits: u64, after: u64) -> u128 {
    bits as u128 | (after as u128) << u64::BITS
}

/// The place of the lowest bit that is set; it is no longer.
#[inline]
pub(super) fn next_place(bits: &mut u64) -> Option<usize> {
    if *bits == 0 {
        return None;
    }
    let place = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_as_by_its_own_name() {
        for byte in 0..=255_u8 {
            for place in [0, 15, 16, 63] {
                let mut text = [0x80; BLOCK];
                text[place] = byte;
                let bits = Bits::at(&text, 0);
                let is = |bits: u64| bits >> place & 1 == 1;
                assert_eq!(is(bits.letters), byte.is_ascii_alphabetic());
                assert_eq!(is(bits.upper), byte.is_ascii_uppercase());
                assert_eq!(is(bits.digits), byte.is_ascii_digit());
                let solid = super::super::values::class(byte) != 0;
                assert_eq!(is(bits.solid), solid, "{byte}");
                let grouped = byte.is_ascii_digit() || b" -./()".contains(&byte);
                assert_eq!(is(bits.grouped), grouped, "{byte}");
                assert_eq!(is(bits.marks), b".=~".contains(&byte));
                assert_eq!(is(bits.colons), byte == b':');
                assert_eq!(is(bits.newlines), byte == b'\n');
                assert_eq!(Bits::at(&text[..place], 0).solid, 0);
            }
        }
    }

    #[test]
    fn neighbours_come_from_the_next_block_too() {
        assert_eq!(earlier(1 << 5, 1 << 63, 1), 1 << 6 | 1);
        assert_eq!(later(1 << 5, 1, 1), 1 << 4 | 1 << 63);
        assert_eq!(from_place(1 << 63, 1, 0), 1 << 63);
        assert_eq!(from_place(1 << 63, 1, 63), 0b11);
        let mut bits = joined(1 << 3 | 1 << 63, 0) as u64;
        assert_eq!(next_place(&mut bits), Some(3));
        assert_eq!(next_place(&mut bits), Some(63));
        assert_eq!(next_place(&mut bits), None);
    }
}
