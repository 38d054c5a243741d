//! Lets the program's own `getrandom`, which is mad-turmoil's, be found by those who look it up by name at run time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
}
