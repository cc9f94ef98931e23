//! Runs a command in a world of its own, and says on standard error whom it asked: `world COMMAND…`.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use world::names::WorldNames;
use world::scout::Scout;

const WITHIN: &str = "within";

fn main() -> ExitCode {
    let result = world::run_stage().map(|result| result.map_err(|error| error.to_string())).unwrap_or_else(|| {
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        match words.split_first() {
            Some((first, rest)) if first == WITHIN => within(rest).map_err(|why| why.to_string()),
            _ => Err(enter(words)),
        }
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn enter(words: Vec<OsString>) -> String {
    match std::env::current_exe() {
        Ok(program) => {
            let command = [program.into(), WITHIN.into()].into_iter().chain(words).collect();
            world::World::new(command).enter().to_string()
        }
        Err(why) => why.to_string(),
    }
}

fn within(words: &[OsString]) -> io::Result<ExitCode> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let names = WorldNames::new(Vec::new());
    names.serve(Path::new(world::BACKENDS_NETWORK))?;
    let laid = std::env::var("WORLD_LAY").unwrap_or_default();
    for path in laid.split(':').filter(|path| !path.is_empty()) {
        world::lay(Path::new(path), b"laid\n")?;
    }
    let scout = Scout::start()?;
    let status = Command::new(program).args(arguments).status()?;
    for asked in names.asked() {
        eprintln!("name {} {:?}", asked.name, asked.addresses);
    }
    for address in scout.seen().refused.keys() {
        eprintln!("refused {address}");
    }
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}
