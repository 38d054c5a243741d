//! Text in and out: pure functions, without files, network or clock.

pub mod duration;
pub mod escape;
pub mod histogram;
pub mod input;
pub mod pacer;
pub mod pairs;
pub mod place;
pub mod record_json;
pub mod render;
pub mod size;
pub mod table;
pub mod template;
pub mod time;
