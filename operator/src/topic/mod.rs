//! The topic controller: makes what a `Topic` asks for.
