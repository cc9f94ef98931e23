//! A configuration of the user's own: how a balancer runs with it so that it finds the files next to it, and leaves those alone that
//! belong to a balancer that runs on this machine already.

use std::path::PathBuf;

/// Stands for the scratch folder of a run in arguments and environment. No path has this byte.
pub(crate) const SCRATCH: &str = "\0";

/// How a balancer is run with a file of the user's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Own {
    /// The arguments of the balancer's program.
    pub(crate) arguments: Vec<String>,
    /// Variables that are set in addition to the user's own.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where it is started: relative names in the file count from there. None: in the scratch folder.
    pub(crate) folder: Option<PathBuf>,
    /// Files that it would overwrite and remove although they may be another's, such as the pid file of the service. It sees empty ones
    /// of its own in their places.
    pub(crate) covered: Vec<PathBuf>,
}

impl Own {
    /// In the folder of the file, with these arguments.
    pub(crate) fn beside(file: &std::path::Path, arguments: &[&str]) -> Own {
        let folder = file.parent().map(PathBuf::from);
        Own { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), folder, ..Own::default() }
    }
}
