//! `fjord cluster quorum`.

use fjord_client::proto::{DescribeQuorumRequest, QuorumMember};
use serde_json::{Value, json};

use crate::{args::Context, failure::Failure, format::table::Table};

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let quorum = client.describe_quorum(DescribeQuorumRequest {}).await?;
    let table = || {
        let mut table = Table::new(["BROKER", "ROLE", "LOG END"]).right([0, 2]);
        let voters = quorum.voters.iter().map(|member| (member, "voter"));
        let observers = quorum.observers.iter().map(|member| (member, "observer"));
        for (member, role) in voters.chain(observers) {
            let role = match member.broker == quorum.leader {
                true => "leader",
                false => role,
            };
            let end = member.log_end_offset;
            table.row([
                member.broker.to_string(),
                role.to_owned(),
                end.map(|end| end.to_string()).unwrap_or_default(),
            ]);
        }
        table
    };
    let text = || {
        format!(
            "leader          {}\nleader epoch    {}\nhigh watermark  {}\n\n{}",
            quorum.leader,
            quorum.leader_epoch,
            quorum.high_watermark,
            table()
        )
    };
    let members = |members: &[QuorumMember]| Value::Array(members.iter().map(to_json).collect());
    let json = || {
        json!({
            "leader": quorum.leader,
            "leader_epoch": quorum.leader_epoch,
            "high_watermark": quorum.high_watermark,
            "voters": members(&quorum.voters),
            "observers": members(&quorum.observers),
        })
    };
    context.output.print(text, json)
}

fn to_json(member: &QuorumMember) -> Value {
    json!({
        "broker": member.broker,
        "log_end_offset": member.log_end_offset,
        "last_heard_ms": member.last_heard_ms,
        "last_caught_up_ms": member.last_caught_up_ms,
    })
}
