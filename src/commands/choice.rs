//! Which running fleet a command is about, from what was typed and the environment.

use crate::args::choice::ChoiceArgs;
use crate::config::token;
use crate::error::Problem;
use crate::remote::{FleetChoice, Which};

/// The one, with the token where one is given.
pub(super) fn choice(args: &ChoiceArgs) -> Result<FleetChoice, Problem> {
    match <[FleetChoice; 1]>::try_from(choices(args)?) {
        Ok([only]) => Ok(only),
        Err(_) => Err(Problem::new("this command is for one fleet")
            .on("--fleet")
            .hint("name it once; `check`, `top` and `view` take several")),
    }
}

/// All that are named; the one that runs here if none is.
pub(super) fn choices(args: &ChoiceArgs) -> Result<Vec<FleetChoice>, Problem> {
    let token = token::read(args.token_file.as_deref())?;
    let choice = |which| FleetChoice { which, token: token.clone() };
    if args.fleet.is_empty() {
        return Ok(vec![choice(Which::Any)]);
    }
    args.fleet.iter().map(|text| text.parse().map(choice)).collect()
}
