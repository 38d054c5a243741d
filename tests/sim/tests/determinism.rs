//! A seed decides everything: its trace is the same byte for byte, and watching it changes nothing.

use std::process::Command;

fn output(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fjord-sim"));
    let done = command.args(arguments).output().expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    done.stdout
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().next_back().unwrap_or_default().to_owned()
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in ["2", "3"] {
        let [one, other] = [(); 2].map(|()| output(&["--seed", seed, "--trace"]));
        assert!(
            one.len() > 100_000,
            "the trace has only {} bytes",
            one.len()
        );
        // Not compared by `assert_eq`: it would print megabytes.
        assert!(one == other, "the traces of seed {seed} differ");
        assert_eq!(
            last_line(&one),
            last_line(&output(&["--seed", seed])),
            "without a trace"
        );
    }
}

#[test]
fn other_seeds_go_other_ways() {
    assert_ne!(
        last_line(&output(&["--seed", "2"])).replace("seed 2", ""),
        last_line(&output(&["--seed", "3"])).replace("seed 3", "")
    );
}
