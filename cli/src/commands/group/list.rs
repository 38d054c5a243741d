//! `fjord group list`.

use fjord_client::proto::ListGroupsRequest;
use serde_json::{Value, json};

use crate::{args::Context, failure::Failure, format::table::Table};

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let groups = client.list_groups(ListGroupsRequest {}).await?.groups;
    let table = || {
        let mut table = Table::new(["GROUP", "STATE", "TYPE"]);
        for group in &groups {
            table.row([
                group.group.clone(),
                group.state.clone(),
                group.protocol_type.clone(),
            ]);
        }
        table
    };
    let json = || {
        let each = groups.iter().map(|group| {
            json!({
                "group": group.group,
                "state": group.state,
                "protocol_type": group.protocol_type,
            })
        });
        Value::Array(each.collect())
    };
    context.output.table(table, json)
}
