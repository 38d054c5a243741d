//! The arguments that change configs, of a topic with `fjord topic alter` and of anything with `fjord config alter`.

use std::collections::HashMap;

use clap::Args;

use crate::format::pairs::parse_pair;

/// What is to be changed, or only to be checked.
#[derive(Debug, Args)]
pub struct Changes {
    /// A config to set; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// A config to set back to what it is without; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub reset: Vec<String>,
    /// Only check whether it could be changed
    #[arg(long)]
    pub dry_run: bool,
}

impl Changes {
    /// The values to be set; the last of the same name counts.
    pub fn set(&self) -> HashMap<String, String> {
        self.set.iter().cloned().collect()
    }

    /// What has become of it, once the broker has agreed.
    pub fn outcome(&self) -> &'static str {
        if self.dry_run {
            "could be changed"
        } else {
            "changed"
        }
    }
}
