//! What somebody who looks at the live view wants done through the balancer: by the same executable in a process of its own, as the
//! fleet and the check do not know each other.

use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Problem, describe_for_page};
use crate::platform::means;
use crate::wire::BalancerInfo;

/// What the page can have this program do, in a process of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    /// Sends a few requests.
    Send {
        requests: u32,
        /// As one visitor who keeps the cookies, or each as a visitor of its own.
        keep_cookies: bool,
    },
    Check,
}

/// Enough to find 5 points of three shares; a page should not wait for long.
const CHECKED: &str = "3000";

impl Job {
    fn arguments(self, front: &BalancerInfo) -> Vec<String> {
        let mut words: Vec<String> = match self {
            Job::Send { requests, keep_cookies } => {
                let cookies = keep_cookies.then(|| "--keep-cookies".to_owned());
                let words = ["send".to_owned(), format!("--requests={requests}")];
                words.into_iter().chain(cookies).collect()
            }
            Job::Check => {
                let fleet = format!("--fleet={}", std::process::id());
                let expected = front.expect.iter().map(|expected| format!("--expect={expected}"));
                ["check".to_owned(), fleet, format!("--requests={CHECKED}")].into_iter().chain(expected).collect()
            }
        };
        words.extend(["--format=json".to_owned(), "--errors=json".to_owned()]);
        words.extend(["--".to_owned(), front.url.clone()]);
        words
    }

    /// Runs it to its end. What it wrote, or what went wrong. Dropped, it is ended.
    pub(super) async fn run(self, front: &BalancerInfo) -> Result<String, String> {
        let program = means().this_program().map_err(|why| format!("failed to find this program: {why}"))?;
        let command =
            Command::new(program).args(self.arguments(front)).stdin(Stdio::null()).kill_on_drop(true).output();
        let output = command.await.map_err(|why| format!("failed to start a process: {why}"))?;
        // 1 and 3 are verdicts.
        match output.status.code() {
            Some(0 | 1 | 3) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => Err(describe_for_page(&Problem::of_process(&output.stderr).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_balancer_is_the_last_argument_whatever_it_is() {
        let front = BalancerInfo {
            url: "--help".to_owned(),
            expect: vec!["round-robin".to_owned()],
            ..BalancerInfo::default()
        };
        let words = Job::Check.arguments(&front).join(" ");
        assert!(
            words.ends_with("--requests=3000 --expect=round-robin --format=json --errors=json -- --help"),
            "{words}"
        );
        let words = Job::Send { requests: 7, keep_cookies: true }.arguments(&front).join(" ");
        assert_eq!(words, "send --requests=7 --keep-cookies --format=json --errors=json -- --help");
    }
}
