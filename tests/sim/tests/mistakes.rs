//! Known mistakes are found: with each of them, one of the first thousand seeds fails.
//!
//! `cargo test -p fjord-sim --release --features mistakes --test mistakes`
#![cfg(feature = "mistakes")]

use std::process::Command;

fn is_found(mistake: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fjord-sim"));
    command.args(["--seeds", "1000", "--stop"]);
    let done = command
        .env("FJORD_MISTAKE", mistake)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&done.stdout);
    println!("{mistake}: {text}");
    assert!(text.contains("VIOLATED"), "{mistake} was not found: {text}");
}

#[test]
fn a_vote_that_is_not_synced_is_found() {
    is_found("vote-not-synced");
}

#[test]
fn an_append_that_is_not_synced_is_found() {
    is_found("append-not-synced");
}

#[test]
fn a_voter_that_has_forgotten_its_votes_is_found() {
    is_found("new-disk-accepted");
}
