//! `r1x plugin new`: a folder with a plugin that builds and passes its tests as it is.

use std::path::Path;

use r1x_build::template;

use crate::failure::{Failure, code};

/// Writes the template of a language.
///
/// # Errors
/// When the name is none, the language has no template, or the folder is there.
pub fn new(name: &str, language: &str, folder: &Path) -> Result<i32, Failure> {
    let input = |message: String, hint: &str| Failure::new(code::INPUT, message, hint);
    if !r1x_build::is_name(name) {
        return Err(input(
            format!("`{name}` is no name for a plugin"),
            "a name starts with a letter and has lower-case letters, digits and `-`",
        ));
    }
    let Some(template) = template::find(language) else {
        let known = template::languages().join(", ");
        let message = format!("there is no template for `{language}`");
        return Err(input(message, &format!("--lang takes: {known}")));
    };
    let root = folder.join(name);
    if root.exists() {
        let message = format!("{}: is there already", root.display());
        return Err(input(message, "choose another name, or another folder with --in"));
    }
    let files = template.files(name);
    for (path, contents) in &files {
        let path = root.join(path);
        let parent = path.parent().unwrap_or(&root);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, contents))
            .map_err(|error| Failure::io(&path, &error))?;
    }
    println!("{}  {} files", root.display(), files.len());
    println!("  edit   {}", root.join(template.start).display());
    println!("  test   r1x plugin test {}", root.display());
    println!("  use    rewards: {{{name}: {{plugin: {}}}}}", root.display());
    Ok(0)
}
