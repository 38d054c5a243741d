//! Faults of the network: what is cut, held back or slow, and how it ends.

use std::time::Duration;

use tracing::info;
use turmoil::Sim;

use crate::dice::Dice;

/// Latency of messages in quiet times.
const LATENCY: Duration = Duration::from_millis(2);
/// Latency of a link that is slow.
const SLOW: Duration = Duration::from_millis(120);

/// Something done to the network, at random.
pub fn harm(sim: &Sim<'_>, dice: &Dice, names: &[&str]) {
    let (one, other) = (dice.one_of(names), dice.one_of(names));
    if one == other {
        return isolate(sim, dice, names);
    }
    match dice.number(0..=4) {
        0 => {
            info!(one, other, "cut");
            sim.partition(one, other);
        }
        1 | 2 => {
            info!(from = one, to = other, "cut one way");
            sim.partition_oneway(one, other);
        }
        3 => {
            info!(one, other, "held back");
            sim.hold(one, other);
        }
        _ => {
            info!(one, other, "slow");
            sim.set_link_max_message_latency(one, other, SLOW);
        }
    }
}

/// Cuts some off from the others: in both directions, or only what they say, or only what they hear.
fn isolate(sim: &Sim<'_>, dice: &Dice, names: &[&str]) {
    let cut = dice.some_of(names);
    let direction = dice.number(0..=2);
    info!(?cut, direction, "isolated");
    for one in &cut {
        for other in names.iter().filter(|other| !cut.contains(other)) {
            match direction {
                0 => sim.partition(*one, *other),
                1 => sim.partition_oneway(*one, *other),
                _ => sim.partition_oneway(*other, *one),
            }
        }
    }
}

/// Everybody hears everybody again.
pub fn heal(sim: &Sim<'_>, names: &[&str]) {
    info!("healed");
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            sim.release(*one, *other);
            sim.repair(*one, *other);
            sim.set_link_max_message_latency(*one, *other, LATENCY);
        }
    }
}
