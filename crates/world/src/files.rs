//! The files of the world: those of this machine, which nobody in it can change, with folders over them that are its own.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, openat, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_remount,
};
use rustix::process::chroot;

use crate::error::{Error, Result, failed};
use crate::mounts::{Mount, parse};

/// Where the world keeps what belongs to it.
pub const FOLDER: &str = "/run/world";
/// Names the file systems that are the world's own among the mounts.
const OWN: &str = "world";
/// Folders within folders that are made anew.
const DEEPEST: usize = 6;
/// Folders within temporary folders that are made anew: nobody relies on what is deeper.
const TEMPORARY: usize = 1;
/// Folders that are made anew in one; a cache may have a million.
const MOST: usize = 2000;

/// What is found before anything is laid over it.
pub(crate) struct OriginalFile(Vec<(PathBuf, OwnedFd)>);

/// No mount of this process reaches any other from here on, and none that it got can be written.
pub(crate) fn make_read_only() -> Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|why| failed("to keep mounts to itself", why))?;
    // That of this world's processes. It lies over the machine's, and over what is mounted within that.
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
        .map_err(|why| Error::Proc(why.into()))?;
    for mount in mounts()?.iter().filter(|mount| mount.kind != "proc") {
        // What this refuses is found by `verify`.
        let _ = mount_remount(&mount.point, MountFlags::BIND | MountFlags::RDONLY | mount.flags, "");
    }
    Ok(())
}

/// Settings of the kernel belong to the machine too.
pub(crate) fn close_proc() -> Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount("/proc", flags, "").map_err(|why| failed("to make /proc read-only", why))
}

fn mounts() -> Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo").map_err(|why| failed("to read the mounts", why))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Takes hold of what stays visible although its folder is replaced.
pub(crate) fn keep(paths: &[PathBuf]) -> OriginalFile {
    let path = |path: &PathBuf| Some((path.clone(), take(path).ok()?));
    OriginalFile(paths.iter().filter_map(path).collect())
}

fn take(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Lays an own folder over each, with the same folders in it and nothing else; then what is kept becomes visible again.
pub(crate) fn replace(folders: &[PathBuf], kept: &OriginalFile) -> Result<()> {
    let mut done: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let Ok(folder) = fs::canonicalize(folder) else { continue };
        if done.iter().any(|done| folder.starts_with(done)) || folder == Path::new("/") {
            continue;
        }
        replace_one(&folder).map_err(|why| failed(format!("to lay an own folder over {}", folder.display()), why))?;
        done.push(folder);
    }
    for (path, file) in &kept.0 {
        // Not a folder that is replaced itself, and no file that a folder above it has brought already. The folder itself is there again,
        // and empty.
        let is_beneath = done.iter().any(|done| path.starts_with(done) && path != done);
        let is_folder = fs::metadata(of_descriptor(file)).is_ok_and(|it| it.is_dir());
        if is_beneath && (is_folder || !path.exists()) {
            show(path, file).map_err(|why| failed(format!("to show {}", path.display()), why))?;
        }
    }
    Ok(())
}

struct Folder {
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
}

fn folders_in(folder: &Path, depth: usize, found: &mut Vec<Folder>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if found.len() >= MOST {
            return;
        }
        // The kind comes with the name: a folder may have many files.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        found.push(Folder {
            path: entry.path(),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
        });
        if depth > 0 {
            folders_in(&entry.path(), depth - 1, found);
        }
    }
}

fn deepest(folder: &Path) -> usize {
    let is_temporary = folder.file_name().is_some_and(|name| name == "tmp");
    if is_temporary { TEMPORARY } else { DEEPEST }
}

fn replace_one(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    let mut inner = Vec::new();
    folders_in(folder, deepest(folder), &mut inner);
    mount(OWN, folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    inner.push(Folder {
        path: folder.to_owned(),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
    });
    for Folder { path, mode, owner: (user, group) } in inner {
        let _ = fs::create_dir(&path);
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        // Of an id that is not mapped here it cannot be; then all is this user's.
        let _ = chown(&path, Some(user), Some(group));
    }
    Ok(())
}

/// At the same path, read-only as it has become.
fn show(path: &Path, file: &OwnedFd) -> io::Result<()> {
    let source = of_descriptor(file);
    let is_folder = fs::metadata(&source)?.is_dir();
    make_folder(path.parent().unwrap_or(Path::new("/")))?;
    if is_folder {
        make_folder(path)?;
    } else {
        drop(File::create(path)?);
    }
    Ok(mount_bind(source, path)?)
}

fn of_descriptor(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Makes a folder and all above it.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// The devices that every program may use, and no disk among them.
pub(crate) fn own_devices() -> Result<()> {
    let names = ["null", "zero", "full", "random", "urandom", "tty", "pts"];
    let path = |name: &str| Path::new("/dev").join(name);
    let kept = keep(&names.map(path));
    let make = || -> io::Result<()> {
        mount(OWN, "/dev", "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, None)?;
        // Devices in a folder that all may write to belong to their owner alone (`may_create_in_sticky` in the kernel).
        fs::set_permissions("/dev", Permissions::from_mode(0o755))?;
        for (path, file) in &kept.0 {
            show(path, file)?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlink(target, path(name))?;
        }
        fs::create_dir(path("shm"))?;
        fs::set_permissions(path("shm"), Permissions::from_mode(0o1777))
    };
    make().map_err(|why| failed("to make devices", why))
}

/// The world's own folder, which every user in it may enter.
pub(crate) fn make_own_folder() -> Result<()> {
    let make = || -> io::Result<()> {
        if !mounts().is_ok_and(|mounts| mounts.iter().any(|it| it.point == Path::new("/run") && it.source == OWN)) {
            return Err(io::Error::other("/run is not the world's own"));
        }
        make_folder(&Path::new(FOLDER).join("laid"))?;
        make_folder(&Path::new(FOLDER).join("under"))?;
        drop(File::create(Path::new(FOLDER).join("nothing"))?);
        Ok(())
    };
    make().map_err(|why| failed(format!("to make {FOLDER}"), why))
}

/// Lays an empty file over each socket: a read-only file system does not keep anybody from connecting to one.
pub(crate) fn mask_sockets(paths: &[PathBuf]) {
    for path in paths {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        if is_socket {
            // Unprivileged, a path that cannot be reached here cannot be reached by anybody in the world.
            let _ = mount_bind(Path::new(FOLDER).join("nothing"), path.as_path());
        }
    }
}

/// Gives a file another content within the world. A folder above it that lacks it gets it.
pub fn lay(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = final_target(path);
    let exists = fs::symlink_metadata(&target).is_ok();
    if !exists {
        let folder = target.parent().unwrap_or(Path::new("/"));
        make_missing(folder)?;
        if fs::write(&target, content).is_ok() {
            return Ok(());
        }
        open_folder(folder)?;
        return fs::write(&target, content);
    }
    let own = Path::new(FOLDER).join("laid").join(next_name("laid")?);
    fs::write(&own, content)?;
    Ok(mount_bind(&own, &target)?)
}

/// From now on that folder is another one, with all that is in it.
pub fn lay_folder(source: &Path, folder: &Path) -> io::Result<()> {
    let target = final_target(folder);
    make_missing(&target)?;
    Ok(mount_bind_recursive(source, &target)?)
}

/// Where links lead, also if there is nothing.
fn final_target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..16 {
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(next);
    }
    path
}

fn next_name(folder: &str) -> io::Result<String> {
    Ok(fs::read_dir(Path::new(FOLDER).join(folder))?.count().to_string())
}

/// Makes a folder with all above it, where nothing of it is there.
pub fn make_missing(folder: &Path) -> io::Result<()> {
    if folder.is_dir() || make_folder(folder).is_ok() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_missing(parent)?;
    if fs::create_dir(folder).is_ok() {
        return Ok(());
    }
    open_folder(parent)?;
    fs::create_dir(folder)
}

/// Files up to this length are copied into a folder that is opened, so that they can be changed there.
const COPIED: u64 = 1 << 20;

/// From now on files can be made, changed and removed in this folder; what was there is there, as it was: small files by copies, all else
/// by links.
pub fn open_folder(folder: &Path) -> io::Result<()> {
    if folder == Path::new("/") {
        return open_root();
    }
    let metadata = fs::metadata(folder)?;
    let under = Path::new(FOLDER).join("under").join(next_name("under")?);
    fs::create_dir(&under)?;
    // With what is mounted in it.
    mount_bind_recursive(folder, &under)?;
    mount(OWN, folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    fs::set_permissions(folder, Permissions::from_mode(metadata.mode() & 0o7777))?;
    let _ = chown(folder, Some(metadata.uid()), Some(metadata.gid()));
    // Who may not list it cannot use it either.
    for entry in fs::read_dir(&under).into_iter().flatten().flatten() {
        let own = folder.join(entry.file_name());
        let is_small = entry.metadata().is_ok_and(|it| it.is_file() && it.len() <= COPIED);
        // What cannot be read here is linked, and is as unreadable through the link.
        if !is_small || fs::copy(entry.path(), &own).is_err() {
            let _ = fs::remove_file(&own);
            let target = fs::read_link(entry.path()).unwrap_or_else(|_| entry.path());
            symlink(target, own)?;
        }
    }
    Ok(())
}

/// Gives this process, and all that it starts from now on, a root of its own with all that is in the one of before: what is mounted over a
/// root is seen by nobody.
fn open_root() -> io::Result<()> {
    let root = Path::new(FOLDER).join("root");
    fs::create_dir(&root)?;
    mount(OWN, &root, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    fs::set_permissions(&root, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir("/")?.flatten() {
        let (path, own) = (entry.path(), root.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &own)?;
        } else if kind.is_dir() {
            fs::create_dir(&own)?;
            mount_bind_recursive(&path, &own)?;
        } else {
            drop(File::create(&own)?);
            // What this user cannot reach here, nobody in the world can.
            let _ = mount_bind(&path, &own);
        }
    }
    let folder = std::env::current_dir()?;
    chroot(&root)?;
    std::env::set_current_dir(folder)
}

/// From now on this folder is empty, but for the same folders in it, and can be written.
pub fn empty_folder(folder: &Path) -> io::Result<()> {
    replace_one(&fs::canonicalize(folder)?)
}

/// Nothing that is not the world's own can be written: tried, on each mount.
pub(crate) fn verify() -> Result<()> {
    let name = format!(".world-{}", std::process::id());
    let all = mounts()?;
    for (place, mount) in all.iter().enumerate().filter(|(_, mount)| is_of_the_machine(mount)) {
        // What lies over it is looked at for itself.
        let covers = |later: &&Mount| mount.point.starts_with(&later.point) && later.point != Path::new("/");
        if all[place + 1..].iter().any(|later| covers(&later)) {
            continue;
        }
        // Out of reach for everybody in the world.
        let Ok(metadata) = fs::metadata(&mount.point) else { continue };
        let tried = if metadata.is_dir() {
            let probe = mount.point.join(&name);
            let tried = fs::create_dir(&probe);
            if tried.is_ok() {
                let _ = fs::remove_dir(&probe);
            }
            tried
        } else if metadata.file_type().is_char_device() {
            continue;
        } else {
            fs::OpenOptions::new().append(true).open(&mount.point).map(drop)
        };
        let is_read_only = || statvfs(&mount.point).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY));
        match tried {
            Err(why) if why.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => {}
            // Somebody else's folder on a file system that is read-only all the same.
            Err(_) if is_read_only() => {}
            Err(_) | Ok(()) => return Err(Error::Writable(mount.point.clone())),
        }
    }
    Ok(())
}

/// The paths of all unix sockets of this machine, from `/proc/net/unix`.
pub(crate) fn sockets() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = |line: &str| line.split_whitespace().nth(7).filter(|path| path.starts_with('/')).map(PathBuf::from);
    let mut paths: Vec<PathBuf> = text.lines().filter_map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Whether it could lead to a file of the machine. An autofs would be mounted by looking; a namespace has no files.
fn is_of_the_machine(mount: &Mount) -> bool {
    mount.source != OWN && !matches!(mount.kind.as_str(), "autofs" | "nsfs")
}
