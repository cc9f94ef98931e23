//! Which running fleet a command is about, from what was typed and the environment.

use crate::args::choice::ChoiceArgs;
use crate::config::token;
use crate::error::Problem;
use crate::remote::Choice;

/// With the token, where one is given.
pub(super) fn choice(args: &ChoiceArgs) -> Result<Choice, Problem> {
    let which = args.fleet.as_deref().map(str::parse).transpose()?.unwrap_or_default();
    Ok(Choice { which, token: token::read(args.token_file.as_deref())? })
}
