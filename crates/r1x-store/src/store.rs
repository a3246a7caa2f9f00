//! The store as its users hold it: open it, begin or resume a run, ask.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::StoreError;
use crate::open::{self, Upgraded};
use crate::read::Reader;
use crate::run_begin::{self, RunStart};
use crate::run_resume::{self, StagePoint};
use crate::run_writer::RunWriter;
use crate::wait::Patience;
use crate::writer::WriterHandle;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To look things up. Never waits for a writer, never changes the file.
    Read,
    /// To record runs; makes the file and brings its schema up to date. Waits for other writers for as long as it
    /// takes, and says so.
    Write,
}

/// An open store.
pub struct Store {
    path: PathBuf,
    writer: Option<Arc<WriterHandle>>,
    reader: OnceLock<Reader>,
    warnings: Vec<String>,
}

impl Store {
    /// Opens the store at `path`. For writing, runs whose process has died are marked as crashed.
    pub fn open(path: &Path, mode: Mode) -> Result<Self, StoreError> {
        let store = Self {
            path: path.to_owned(),
            writer: None,
            reader: OnceLock::new(),
            warnings: warnings(path),
        };
        for warning in &store.warnings {
            tracing::warn!("{warning}");
        }
        match mode {
            Mode::Read => {
                store.reader()?;
                Ok(store)
            }
            Mode::Write => {
                let writer = WriterHandle::open(path, Patience::Endless)?;
                writer.call(|writer| {
                    writer.transaction(async |tx| run_resume::mark_crashed(tx).await)
                })?;
                Ok(Self { writer: Some(Arc::new(writer)), ..store })
            }
        }
    }

    /// Brings the schema of the store at `path` up to date, for somebody who only wants to read it and does not wait
    /// for long.
    ///
    /// # Errors
    /// When it cannot be written or copied; then it is as it was.
    pub fn upgrade(path: &Path) -> Result<Option<Upgraded>, StoreError> {
        Ok(WriterHandle::open(path, Patience::SHORT)?.upgraded().cloned())
    }

    /// What opening the store for writing did to one of an earlier schema.
    pub fn upgraded(&self) -> Option<&Upgraded> {
        self.writer.as_ref()?.upgraded()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Things a person should know about the place of the store.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The folder of a run's checkpoints and other files.
    pub fn run_folder(&self, run_name: &str) -> PathBuf {
        folders(&self.path).join(run_name)
    }

    /// Begins a run: gives it a name and a folder and writes down all it starts from.
    pub fn begin_run(&self, start: RunStart) -> Result<RunWriter, StoreError> {
        let writer = self.writer()?;
        let folders = folders(&self.path);
        let place = folders.clone();
        let begun = writer.call(move |writer| {
            let mut made = None;
            let result = writer.lasting_transaction(async |tx| {
                run_begin::begin(tx, &start, &place, &mut made).await
            });
            if let (Err(_), Some(folder)) = (&result, made) {
                // The run was not written, so its empty folder goes too.
                let _ = std::fs::remove_dir(folder);
            }
            writer.settle();
            result
        })?;
        let folder = folders.join(&begun.name);
        open::sync_entry(&folder).map_err(|error| open::from_io(&folder, &error))?;
        Ok(RunWriter::new(Arc::clone(writer), begun, &folders))
    }

    /// Goes on with a run from a point. Facts of later steps stay in the file and vanish from the views; the
    /// stages that are run again must be started again.
    /// `folder` is where relative paths of the plan begin now.
    pub fn resume_run(
        &self,
        reference: &str,
        from: StagePoint,
        folder: Option<&str>,
    ) -> Result<RunWriter, StoreError> {
        let run = self.run(reference)?;
        let writer = self.writer()?;
        let folder = folder.map(str::to_owned);
        let begun = writer.call(move |writer| {
            let begun = writer.lasting_transaction(async |tx| {
                run_resume::resume(tx, run.run_id, from, folder.as_deref()).await
            });
            writer.settle();
            begun
        })?;
        let folders = folders(&self.path);
        let folder = folders.join(&begun.name);
        open::make_folder(&folder).map_err(|error| open::from_io(&folder, &error))?;
        Ok(RunWriter::new(Arc::clone(writer), begun, &folders))
    }

    pub(crate) fn writer(&self) -> Result<&Arc<WriterHandle>, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::ReadOnly {
            path: self.path.clone(),
            detail: "it was opened for reading".into(),
        })
    }

    /// The reading connection, opened when first needed.
    pub(crate) fn reader(&self) -> Result<&Reader, StoreError> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        let reader = Reader::open(&self.path)?;
        Ok(self.reader.get_or_init(|| reader))
    }
}

fn folders(path: &Path) -> PathBuf {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_owned()
}

fn warnings(path: &Path) -> Vec<String> {
    let network = open::network_filesystem(path).map(|kind| {
        format!(
            "the store {} lies on a network file system ({kind}), where SQLite's write-ahead log can lose \
             data: use a local disk, with `--store` or R1X_STORE",
            path.display()
        )
    });
    network.into_iter().collect()
}
