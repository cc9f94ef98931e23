//! The mounts of a process, as `/proc/self/mountinfo` lists them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::mount::MountFlags;

/// A mount of this namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// Those of its options that a remount has to repeat.
    pub(crate) flags: MountFlags,
    pub(crate) kind: String,
    pub(crate) source: String,
}

/// All of them: proc_pid_mountinfo(5).
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(4);
    let (point, options) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, source) = (right.next()?, right.next()?);
    let mut flags = MountFlags::empty();
    for option in options.split(',') {
        flags |= match option {
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    Some(Mount { point: unescape(point), flags, kind: kind.to_owned(), source: source.to_owned() })
}

/// Blanks and backslashes are written as octal numbers.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let (mut path, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| bytes.get(at + 1..at + 4)).flatten();
        let number = octal.and_then(|it| std::str::from_utf8(it).ok()).and_then(|it| u8::from_str_radix(it, 8).ok());
        path.push(number.unwrap_or(bytes[at]));
        at += if number.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_keeps_the_options_that_a_remount_must_repeat() {
        let text =
            "36 35 98:0 /mnt1 /mnt\\0402 rw,nosuid,noatime master:1 - ext3 /dev/root rw,errors=continue\nnonsense\n";
        let expected = Mount {
            point: "/mnt 2".into(),
            flags: MountFlags::NOSUID | MountFlags::NOATIME,
            kind: "ext3".to_owned(),
            source: "/dev/root".to_owned(),
        };
        assert_eq!(parse(text), [expected]);
    }
}
