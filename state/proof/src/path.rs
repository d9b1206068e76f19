//! Paths: where a value lies in the trie. Bit 0 is the most significant bit of the first byte.

/// Where a value lies: bit i, counted from the most significant bit of byte 0, says which child to take at depth i
/// (0 left, 1 right).
pub type Path = [u8; 32];

/// The bits of a [`Path`], and so the greatest depth of a node.
pub const PATH_BITS: usize = 256;

/// Whether `path` turns right at `depth`.
///
/// # Panics
/// When `depth` is 256 or more.
#[must_use]
pub const fn bit(path: &Path, depth: usize) -> bool {
    path[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// How many leading bits `a` and `b` share: 256 when they are equal.
#[must_use]
pub fn shared_bits(a: &Path, b: &Path) -> usize {
    for (index, (x, y)) in a.iter().zip(b).enumerate() {
        if x != y {
            return index * 8 + (x ^ y).leading_zeros() as usize;
        }
    }
    PATH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_most_significant() {
        let mut path = [0; 32];
        path[0] = 0b1000_0000;
        path[31] = 0b0000_0001;
        assert!(bit(&path, 0) && bit(&path, 255));
        assert!((1..255).all(|depth| !bit(&path, depth)));
    }

    #[test]
    fn shared_bits_is_the_first_differing_bit() {
        let zero = [0; 32];
        assert_eq!(shared_bits(&zero, &zero), 256);
        for depth in 0..256 {
            let mut other = zero;
            other[depth / 8] = 0x80 >> (depth % 8);
            assert_eq!(shared_bits(&zero, &other), depth);
        }
    }
}
