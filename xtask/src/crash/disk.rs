//! A small disk in a file, with a file system on it, whose power can be cut: what has not reached it by then is lost, as
//! on a real one.
//!
//! Linux mounts a file as a disk, and what the file system has written to the file is what a disk would hold. So a copy
//! of the file, made while the program stands still, is the disk as a power cut leaves it: blocks that were only in
//! memory are not in it, and its journal is read again when it is mounted. It needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use crate::failure::Failure;

/// Bytes of the disk: some runs of the tiny experiment.
const SIZE_BYTES: u64 = 96 << 20;
/// How the file system is mounted: first the usual way, then one that orders data and names as little as ext4 allows.
const OPTIONS: [&str; 2] = ["data=ordered", "data=writeback,noauto_da_alloc"];
/// Looks at the disk until nothing is under way.
const MOST_LOOKS: u32 = 400;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A disk that is mounted until it goes away.
pub struct Disk {
    image: PathBuf,
    place: PathBuf,
    /// Power cuts so far.
    cuts: usize,
}

impl Disk {
    /// Makes a file system in a file and mounts it at a place.
    ///
    /// # Errors
    /// When the machine does not do that.
    pub fn new(image: PathBuf, place: PathBuf) -> Result<Self, Failure> {
        let file = fs::File::create(&image).and_then(|file| file.set_len(SIZE_BYTES));
        file.and_then(|()| fs::create_dir_all(&place)).map_err(|error| {
            let message = format!("{}: {error}", image.display());
            Failure::new(message, "is there space among the temporary files?")
        })?;
        succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let disk = Self { image, place, cuts: 0 };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), Failure> {
        let options = format!("loop,{}", OPTIONS[self.cuts % OPTIONS.len()]);
        let mut mount = Command::new("mount");
        succeed(mount.args(["-t", "ext4", "-o", &options]).args([&self.image, &self.place]))
    }

    /// Cuts the power under a program: it ends, and the disk is what had reached it.
    ///
    /// # Errors
    /// When the disk cannot be copied or mounted again.
    pub fn cut(&mut self, child: &mut Child) -> Result<(), Failure> {
        let _ = Command::new("kill").args(["-STOP", &child.id().to_string()]).status();
        let left = self.image.with_extension("left");
        self.copy(&left)?;
        let _ = child.kill();
        let _ = child.wait();
        self.unmount()?;
        fs::rename(&left, &self.image)
            .map_err(|error| Failure::new(format!("{}: {error}", left.display()), "report it"))?;
        self.cuts += 1;
        self.mount()
    }

    /// Copies the disk at an instant: what was under way has arrived, and nothing arrives while it is copied.
    fn copy(&self, to: &Path) -> Result<(), Failure> {
        for _ in 0..MOST_LOOKS {
            let before = self.written();
            if before.as_ref().is_some_and(|(under_way, _)| *under_way == 0) {
                fs::copy(&self.image, to).map_err(|error| {
                    Failure::new(format!("{}: {error}", to.display()), "is there space?")
                })?;
                if self.written() == before {
                    return Ok(());
                }
            }
            sleep(BETWEEN_LOOKS);
        }
        Err(Failure::new("the disk never stands still", "is something else at work on it?"))
    }

    /// Requests that are under way, and sectors written so far.
    fn written(&self) -> Option<(u64, u64)> {
        let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.place).output();
        let device = String::from_utf8(found.ok()?.stdout).ok()?;
        let name = device.trim().strip_prefix("/dev/")?.to_owned();
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).ok()?;
        let numbers: Vec<u64> = stat.split_whitespace().flat_map(str::parse).collect();
        Some((*numbers.get(8)?, *numbers.get(6)?))
    }

    fn unmount(&self) -> Result<(), Failure> {
        let mut last = Ok(());
        for _ in 0..MOST_LOOKS {
            last = succeed(Command::new("umount").arg(&self.place));
            if last.is_ok() {
                break;
            }
            // A helper of the program ends when it notices that the program has.
            sleep(BETWEEN_LOOKS);
        }
        last
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let hint = "a disk in a file takes Linux, root, loop devices, and the programs mkfs.ext4, mount, umount and findmnt";
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("{name} does not start: {error}"), hint))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::new(format!("{name}: {said}"), hint))
}
