//! What those who look want done through the balancer: by the same executable in a process of its own, as the fleet and the check do
//! not know each other.

use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Problem, describe_for_page};
use crate::wire::Front;

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errand {
    /// A few requests.
    Send {
        /// So many.
        requests: u32,
        /// As one visitor who keeps the cookies, or as so many.
        keep_cookies: bool,
    },
    /// A check.
    Check,
}

/// Enough to find 5 points of three shares; a page should not wait for long.
const CHECKED: &str = "3000";

impl Errand {
    /// The command line.
    fn words(self, front: &Front) -> Vec<String> {
        let mut words: Vec<String> = match self {
            Errand::Send { requests, keep_cookies } => {
                let cookies = keep_cookies.then(|| "--keep-cookies".to_owned());
                let words = ["send".to_owned(), format!("--requests={requests}")];
                words.into_iter().chain(cookies).collect()
            }
            Errand::Check => {
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
    pub async fn run(self, front: Front) -> Result<String, String> {
        let command =
            Command::new("/proc/self/exe").args(self.words(&front)).stdin(Stdio::null()).kill_on_drop(true).output();
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
    fn what_stands_before_the_fleet_is_the_last_word_whatever_it_is() {
        let front = Front { url: "--help".to_owned(), expect: vec!["round-robin".to_owned()], ..Front::default() };
        let words = Errand::Check.words(&front).join(" ");
        assert!(
            words.ends_with("--requests=3000 --expect=round-robin --format=json --errors=json -- --help"),
            "{words}"
        );
        let words = Errand::Send { requests: 7, keep_cookies: true }.words(&front).join(" ");
        assert_eq!(words, "send --requests=7 --keep-cookies --format=json --errors=json -- --help");
    }
}
