//! Nothing is replaced that could be missed.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::{
    lost::Loss,
    repair::{Broker, Seen, Step, candidate, next},
    rollout,
};

fn running() -> Broker {
    Broker {
        ready: true,
        ..Broker::default()
    }
}

fn lost(since_second: i64) -> Broker {
    Broker {
        loss: Some(Loss {
            why: "gone".to_owned(),
            since: Timestamp::from_second(since_second).unwrap(),
            doubt: None,
        }),
        ..Broker::default()
    }
}

/// Three brokers at second 1,000, of which 1 is lost since second 0 and fenced.
fn one_lost() -> Seen {
    Seen {
        wanted: 3,
        pods: 3,
        brokers: [(0, running()), (1, lost(0)), (2, running())].into(),
        said: Some(rollout::Brokers {
            leader: Some(0),
            out_of_sync: [(0, 0), (1, 9), (2, 0)].into(),
            fenced: vec![1],
        }),
        now: Timestamp::from_second(1000).unwrap(),
        after_seconds: 300,
    }
}

#[test]
fn a_lost_broker_is_replaced_once_it_is_surely_lost() {
    let mut seen = one_lost();
    assert_eq!(candidate(&seen), Some(1));
    assert_eq!(next(&seen, 1, &[]), Step::Replace);
    seen.after_seconds = 1001;
    assert_eq!(next(&seen, 1, &[]), Step::Wait);
    seen.brokers.get_mut(&1).unwrap().asked = true;
    assert_eq!(next(&seen, 1, &[]), Step::Replace);
    seen.brokers.insert(1, running());
    assert_eq!(candidate(&seen), None);
}

#[test]
fn what_blocks_is_told_by_name() {
    let check = |change: fn(&mut Seen), expected: &str| {
        let mut seen = one_lost();
        change(&mut seen);
        let step = next(&seen, 1, &[]);
        let told = |step: &Step| match step {
            Step::Blocked(told) => told.join("; "),
            other => format!("{other:?}"),
        };
        assert!(told(&step).contains(expected), "{step:?}");
    };
    let doubt = |seen: &mut Seen| {
        let loss = seen.brokers.get_mut(&1).unwrap().loss.as_mut();
        loss.unwrap().doubt = Some("perhaps".to_owned());
    };
    check(doubt, "perhaps");
    check(|seen| seen.said = None, "do not answer");
    check(
        |seen| seen.said.as_mut().unwrap().fenced.clear(),
        "still hear",
    );
    check(
        |seen| seen.brokers.get_mut(&1).unwrap().deleting = true,
        "delete the Node",
    );
    check(
        |seen| seen.brokers.insert(2, lost(900)).map_or((), drop),
        "2 is not ready",
    );
    check(|seen| seen.pods = 4, "broker 3 has no pod");
    let step = next(&one_lost(), 1, &["orders/3".to_owned()]);
    assert_eq!(step, Step::Blocked(vec!["orders/3".to_owned()]));
}

#[test]
fn the_one_that_is_away_is_first() {
    let mut seen = one_lost();
    seen.brokers.get_mut(&0).unwrap().asked = true;
    assert_eq!(candidate(&seen), Some(1));
    seen.brokers.insert(1, running());
    assert_eq!(candidate(&seen), Some(0));
}

fn any_broker() -> impl Strategy<Value = Broker> {
    let often = || proptest::bool::weighted(0.8);
    let seldom = || proptest::bool::weighted(0.1);
    let loss = proptest::option::weighted(0.3, (0..2000_i64, seldom()));
    (often(), seldom(), seldom(), loss).prop_map(|(ready, deleting, asked, loss)| Broker {
        ready: ready && loss.is_none(),
        deleting,
        asked,
        loss: loss.map(|(since, doubted)| Loss {
            doubt: doubted.then(|| "perhaps".to_owned()),
            ..lost(since).loss.unwrap()
        }),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Nothing is missing elsewhere, nothing is at risk, and the loss is certain.
    #[test]
    fn only_when_all_others_are_well(
        brokers in proptest::collection::vec(any_broker(), 3..5),
        pods in 3..5_i32,
        behind in proptest::collection::btree_map(0..5_i32, 0..2_i32, 3..5),
        fenced in proptest::collection::vec(0..5_i32, 0..3),
        answers in proptest::bool::weighted(0.9),
        risks in proptest::collection::vec(Just("orders/1".to_owned()), 0..2),
    ) {
        let brokers: BTreeMap<i32, Broker> = (0..).zip(brokers).collect();
        let said = rollout::Brokers { leader: None, out_of_sync: behind.clone(), fenced: fenced.clone() };
        let seen = Seen {
            wanted: 3, pods, brokers: brokers.clone(), said: answers.then_some(said),
            ..one_lost()
        };
        let Some(id) = candidate(&seen) else { return Ok(()) };
        if next(&seen, id, &risks) != Step::Replace {
            return Ok(());
        }
        let replaced = &brokers[&id];
        prop_assert!(id < 3 && answers && risks.is_empty() && !replaced.deleting);
        for other in (0..pods).filter(|other| *other != id) {
            let broker = &brokers[&other];
            prop_assert!(broker.ready && !broker.deleting && broker.loss.is_none());
            prop_assert!(behind[&other] == 0 && !fenced.contains(&other));
        }
        if !replaced.asked {
            let loss = replaced.loss.as_ref().unwrap();
            prop_assert!(loss.since.as_second() <= 700 && loss.doubt.is_none());
            prop_assert!(fenced.contains(&id) || !behind.contains_key(&id));
        }
    }

    /// As soon as one is replaced, and until it has caught up, no other one is.
    #[test]
    fn never_two_at_once(
        brokers in proptest::collection::vec(any_broker(), 3),
        replicas in 1..9_i32,
        stage in 0..4,
    ) {
        let brokers: BTreeMap<i32, Broker> = (0..).zip(brokers).collect();
        let away = brokers.iter().filter(|(_, broker)| broker.loss.is_some());
        let fenced: Vec<i32> = away.map(|(id, _)| *id).collect();
        let said = rollout::Brokers { fenced, out_of_sync: (0..3).map(|id| (id, 0)).collect(), leader: None };
        let mut seen = Seen { brokers, said: Some(said), ..one_lost() };
        let Some(first) = candidate(&seen) else { return Ok(()) };
        if next(&seen, first, &[]) != Step::Replace {
            return Ok(());
        }
        let stopping = Broker { deleting: true, ..seen.brokers[&first].clone() };
        let said = seen.said.as_mut().unwrap();
        said.fenced.push(first);
        match stage {
            0 => { seen.brokers.insert(first, stopping); }
            1 => { seen.brokers.remove(&first); }
            2 => { seen.brokers.insert(first, Broker::default()); }
            _ => {
                seen.brokers.insert(first, running());
                said.fenced.retain(|id| *id != first);
                said.out_of_sync.insert(first, replicas);
            }
        }
        let second = candidate(&seen);
        let step = second.map(|second| next(&seen, second, &[]));
        prop_assert_ne!(step, Some(Step::Replace));
    }
}
