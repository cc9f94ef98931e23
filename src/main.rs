//! The program: see `lib.rs`.

fn main() -> std::process::ExitCode {
    uuid_generator::main()
}
