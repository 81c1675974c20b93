//! File systems for tests that fill up or break. They are mounted, which needs root.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::StoreError;
use crate::test_db::setup_error;

/// A file system of its own; unmounted at the end.
#[derive(Debug)]
pub struct TestDisk {
    folder: TempDir,
    /// The file with the ext4 file system; none for one in memory.
    image: Option<PathBuf>,
}

impl TestDisk {
    /// A file system of this size in memory; `None` without the right to mount one.
    ///
    /// # Errors
    /// [`StoreError::TestDb`] when there is no temporary folder.
    pub fn in_memory(megabytes: u32) -> Result<Option<Self>, StoreError> {
        let disk = Self { folder: TempDir::new().map_err(setup_error)?, image: None };
        // PostgreSQL runs as another user.
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(disk.folder.path(), open).map_err(setup_error)?;
        std::fs::create_dir(disk.path()).map_err(setup_error)?;
        let size = format!("size={megabytes}m,mode=0777");
        let options = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        Ok(run(Command::new("mount").args(options).arg(disk.path())).is_ok().then_some(disk))
    }

    /// An ext4 file system of this size in a file, mounted so that it becomes read-only at its first
    /// error, as disks of servers are; `None` without the right or the means to mount one.
    ///
    /// # Errors
    /// [`StoreError::TestDb`] when there is no temporary folder.
    pub fn breakable(megabytes: u32) -> Result<Option<Self>, StoreError> {
        let folder = TempDir::new().map_err(setup_error)?;
        let image = folder.path().join("image");
        let file = File::create(&image).map_err(setup_error)?;
        file.set_len(u64::from(megabytes) << 20).map_err(setup_error)?;
        let disk = Self { folder, image: Some(image.clone()) };
        std::fs::create_dir(disk.path()).map_err(setup_error)?;
        let made = run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        Ok((made.is_ok() && disk.mount(&image).is_ok()).then_some(disk))
    }

    fn mount(&self, image: &Path) -> Result<(), StoreError> {
        let options = ["-o", "loop,errors=remount-ro"];
        run(Command::new("mount").args(options).arg(image).arg(self.path()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the space that is left.
    ///
    /// # Errors
    /// [`StoreError::TestDb`].
    pub fn fill(&self) -> Result<(), StoreError> {
        let zeros = vec![0; 1 << 16];
        let mut file = File::create(self.filler()).map_err(setup_error)?;
        while file.write_all(&zeros).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`StoreError::TestDb`].
    pub fn free(&self) -> Result<(), StoreError> {
        std::fs::remove_file(self.filler()).map_err(setup_error)
    }

    /// Reports an error of the disk to a [`TestDisk::breakable`] one, which becomes read-only at once,
    /// under whatever has files open.
    ///
    /// # Errors
    /// [`StoreError::TestDb`].
    pub fn break_down(&self) -> Result<(), StoreError> {
        let found = Command::new("findmnt").args(["-no", "SOURCE"]).arg(self.path()).output();
        let found = found.map_err(setup_error)?.stdout;
        let device = String::from_utf8_lossy(&found).trim().replace("/dev/", "");
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(trigger, "a test").map_err(setup_error)
    }

    /// What an operator does then: unmounts it, which nobody may use, checks it and mounts it again.
    ///
    /// # Errors
    /// [`StoreError::TestDb`] when it is in use or cannot be mended.
    pub fn mend(&self) -> Result<(), StoreError> {
        let Some(image) = &self.image else { return Err(setup_error("it is in memory")) };
        run(Command::new("umount").arg(self.path()))?;
        // It exits with 1 when it has mended something.
        let checked = Command::new("e2fsck").arg("-fy").arg(image).output().map_err(setup_error)?;
        if checked.status.code().is_none_or(|code| code > 1) {
            return Err(setup_error(String::from_utf8_lossy(&checked.stdout)));
        }
        self.mount(image)
    }
}

impl Drop for TestDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

fn run(command: &mut Command) -> Result<(), StoreError> {
    let done = command.stdin(Stdio::null()).output().map_err(setup_error)?;
    match done.status.success() {
        true => Ok(()),
        false => Err(setup_error(String::from_utf8_lossy(&done.stderr))),
    }
}
