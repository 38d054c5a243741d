//! A sound data directory with damage: files cut, overwritten, swapped, removed. Opening it never panics,
//! no batch with a wrong checksum is served, and opening it again gives the same answer.
//!
//! From this folder's parent, with cargo-fuzz installed, on the stable toolchain:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run directory -- -max_total_time=300 -rss_limit_mb=1024`
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fjord_log_fuzz::{Input, Tree, answers_are_stable, sound_directory};
use libfuzzer_sys::fuzz_target;

static SOUND: LazyLock<Tree> = LazyLock::new(sound_directory);

/// Changes one file as the input says.
fn damage(files: &mut BTreeMap<String, Vec<u8>>, input: &mut Input) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = names[usize::from(input.byte()) % names.len()].clone();
    let other = names[usize::from(input.byte()) % names.len()].clone();
    let how = input.byte();
    let count = usize::from(input.byte());
    let bytes = files[&name].clone();
    let at = input.number() as usize % (bytes.len() + 1);
    let mut changed = bytes.clone();
    match how % 7 {
        0 => changed.truncate(at),
        1 => drop(files.remove(&name)),
        2 => changed = files[&other].clone(),
        3 => changed.extend(std::iter::repeat_n(input.byte(), count)),
        4 => changed[at..]
            .iter_mut()
            .take(count)
            .for_each(|b| *b ^= 1 << (how >> 5)),
        5 => changed[at..]
            .iter_mut()
            .take(count * 16)
            .for_each(|b| *b = 0),
        _ => changed[at..]
            .iter_mut()
            .take(count)
            .for_each(|b| *b = input.byte()),
    }
    if files.contains_key(&name) {
        files.insert(name, changed);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut tree = SOUND.clone();
    if input.byte() % 2 == 0 {
        tree.index = Arc::default();
    }
    while !input.is_empty() && !tree.files.is_empty() {
        damage(&mut tree.files, &mut input);
    }
    answers_are_stable(&tree);
});
