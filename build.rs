//! How the program is linked.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| var(name).is_ok_and(|it| it.split(',').any(|part| part == value));
    // At a fixed address the program's tables of addresses are pages of its file, which all processes share. Elsewhere each of them
    // writes its own: 300 KiB a backend. A static program is linked in another way, which `packaging/build` says.
    if is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && !is("CARGO_CFG_TARGET_FEATURE", "crt-static")
    {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
