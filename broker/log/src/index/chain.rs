//! The chain of commits: how the index notices that some of its commits are missing.
//!
//! fjall cuts a journal off where it is damaged and goes on with the next journal, so that commits from
//! the middle can be lost without a word. So every commit writes its number too, into a ring of slots: when
//! the index is opened, the numbers up to the greatest must all be there. Once a memtable is flushed, its
//! rows are under the checksums of a table; the ring covers more commits than memtables can hold.

/// Numbers that the ring holds.
pub(crate) const SLOTS: u64 = 1 << 16;

/// The slot for a commit's number.
pub(crate) fn slot(number: u64) -> u64 {
    number % SLOTS
}

/// The greatest commit number in the ring, 0 if it is empty; nothing if a number is missing.
pub(crate) fn last_number(rows: &[(u64, u64)]) -> Option<u64> {
    let last = rows.iter().map(|(_, number)| *number).max().unwrap_or(0);
    let expected = last.min(SLOTS);
    let sound = rows
        .iter()
        .all(|(at, number)| slot(*number) == *at && *number > last - expected);
    (sound && rows.len() as u64 == expected).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(last: u64) -> Vec<(u64, u64)> {
        (last.saturating_sub(SLOTS - 1).max(1)..=last)
            .map(|n| (slot(n), n))
            .collect()
    }

    #[test]
    fn whole_rings_are_sound() {
        for last in [0, 1, 7, SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS + 5] {
            let rows = if last == 0 { Vec::new() } else { ring(last) };
            assert_eq!(last_number(&rows), Some(last));
        }
    }

    #[test]
    fn a_missing_commit_is_noticed() {
        let mut short = ring(9);
        short.remove(4);
        assert_eq!(last_number(&short), None);
        let mut full = ring(SLOTS + 9);
        full[20].1 -= SLOTS.min(full[20].1);
        assert_eq!(last_number(&full), None);
    }
}
