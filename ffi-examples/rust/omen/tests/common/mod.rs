//! Reads the example data: unpacked idx images and ivecs answers in the folder `OMEN_EXAMPLE_DATA`.
// SPDX-License-Identifier: Apache-2.0
use std::convert::TryInto;
use std::env;
use std::fs;
use std::path::PathBuf;

fn read(file: &str) -> Vec<u8> {
    let dir = env::var_os("OMEN_EXAMPLE_DATA")
        .expect("set OMEN_EXAMPLE_DATA to the folder of the unpacked data (see README.md)");
    let path = PathBuf::from(dir).join(file);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {}", path.display(), e))
}

/// Rows and dimension of an idx file of images, and its bytes.
pub fn read_idx(file: &str) -> (usize, usize, Vec<u8>) {
    let bytes = read(file);
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), 0x803, "{} is no idx file of images", file);
    let (rows, dim) = (number(4), number(8) * number(12));
    assert_eq!(bytes.len(), 16 + rows * dim);
    (rows, dim, bytes[16..].to_vec())
}

/// The rows of an ivecs file.
pub fn read_ivecs(file: &str) -> Vec<Vec<u64>> {
    let numbers: Vec<u64> = read(file)
        .chunks_exact(4)
        .map(|c| u64::from(u32::from_le_bytes(c.try_into().unwrap())))
        .collect();
    let dim = numbers[0] as usize;
    numbers.chunks_exact(dim + 1).map(|row| row[1..].to_vec()).collect()
}
