//! Decides several commands at once, each on what the ones before it make of the metadata. Pure.

use uuid::Uuid;

use crate::metadata::{
    Decision, Image,
    commands::{Answer, Command, Conditions, execute},
    proposal::{Proposal, Replicated},
};

/// Most records of one proposal, but for those of its last command.
const RECORDS: usize = 4096;

/// What was decided.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// The answers to the first commands, in order; the others are left for the next time.
    pub answers: Vec<Answer>,
    /// What has to be committed before anybody is answered; nothing if nothing changes.
    pub proposal: Option<Proposal>,
}

/// Decides as many of the commands as fit in one proposal, and at least one. `id` names the proposal.
pub fn decide<'a>(
    state: &Replicated,
    commands: impl IntoIterator<Item = &'a Command>,
    conditions: &Conditions,
    id: Uuid,
) -> Batch {
    let mut working = Image::clone(state.image());
    let mut all = Vec::new();
    let mut answers = Vec::new();
    for command in commands {
        let Decision { records, outcome } = execute(&working, command, conditions);
        working = records.iter().cloned().fold(working, Image::apply);
        all.extend(records);
        answers.push(outcome);
        if all.len() >= RECORDS {
            break;
        }
    }
    let base = state.changes();
    let proposal = (!all.is_empty()).then_some(Proposal {
        id,
        base,
        records: all,
    });
    Batch { answers, proposal }
}

/// Whether doing a command twice does no harm, and gives an answer to the second that is as true as the first one's.
/// A topic that is created twice would be there already, although whoever asked has made it.
pub fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::CreateTopics(_)
        | Command::DeleteTopics(_)
        | Command::CreatePartitions(_)
        | Command::UnregisterBroker(_) => false,
        Command::AlterConfigs(_)
        | Command::EnsureInternalTopic(_)
        | Command::AllocateProducerIds(_)
        | Command::EnsureClusterId(_)
        | Command::RegisterOnlyBroker(_)
        | Command::Register(_)
        | Command::FenceBroker(_)
        | Command::UnfenceBroker(_)
        | Command::BeginControlledShutdown(_)
        | Command::FinishControlledShutdown(_)
        | Command::AlterPartitions(_)
        | Command::ElectLeaders(_)
        | Command::RestorePreferredLeaders(_)
        | Command::ElectMissingLeaders(_)
        | Command::AlterReassignments(_)
        | Command::UpdateFeatures(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::{
        CreateTopicError, CreateTopics,
        testing::{CONDITIONS, DEFAULTS, image_with_brokers, new_topic},
    };

    fn state() -> Replicated {
        let mut state = Replicated::default();
        let records = image_with_brokers(1).to_records();
        let id = Uuid::from_u128(1);
        state
            .apply(Proposal {
                id,
                base: 0,
                records,
            })
            .unwrap();
        state
    }

    fn create(names: &[&str], partition_count: i32) -> Command {
        let topics = names.iter().map(|name| {
            let mut topic = new_topic(name);
            topic.partition_count = partition_count;
            topic
        });
        let request = CreateTopics {
            topics: topics.collect(),
            defaults: DEFAULTS,
            validate_only: false,
        };
        request.into()
    }

    #[test]
    fn a_command_sees_what_the_ones_before_it_have_done() {
        let mut state = state();
        let commands = [create(&["a"], 1), create(&["a"], 1), create(&["b"], 1)];
        let id = Uuid::from_u128(2);
        let Batch { answers, proposal } = decide(&state, &commands, &CONDITIONS, id);
        let [_, Answer::CreateTopics(Ok(second)), _] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert!(matches!(second[0], Err(CreateTopicError::AlreadyExists(_))));
        let proposal = proposal.unwrap();
        assert_eq!((proposal.id, proposal.base), (id, 1));
        state.apply(proposal).unwrap();
        assert_eq!(state.image().topic_count(), 2);
        assert_eq!(state.image().validate(), Ok(()));
    }

    #[test]
    fn nothing_is_proposed_where_nothing_changes() {
        let mut state = state();
        let batch = decide(
            &state,
            &[create(&["a"], 1)],
            &CONDITIONS,
            Uuid::from_u128(2),
        );
        state.apply(batch.proposal.unwrap()).unwrap();
        let batch = decide(
            &state,
            &[create(&["a"], 1)],
            &CONDITIONS,
            Uuid::from_u128(3),
        );
        assert_eq!((batch.answers.len(), batch.proposal), (1, None));
    }

    #[test]
    fn a_proposal_is_bounded() {
        let names: Vec<String> = (0..RECORDS).map(|number| format!("t{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let commands = [create(&names, 1), create(&["one"], 1)];
        let batch = decide(&state(), &commands, &CONDITIONS, Uuid::from_u128(2));
        assert_eq!(batch.answers.len(), 1);
        let rest = decide(&state(), &commands[1..], &CONDITIONS, Uuid::from_u128(2));
        assert_eq!(rest.answers.len(), 1);
    }
}
