//! What a command works on: a template or a recipe, read from disk with everything that is wrong with it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use document::{Diagnostic, SourceText};
use image_template::{Customizer, ImageTemplate, Script, Validator};
use recipe::{Endpoint, Recipe, SmokeTest};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};

/// What is to be built.
pub struct Input {
    /// Name of the image: the template file's stem, or the recipe's name.
    pub name: String,
    /// What to build.
    pub template: ImageTemplate,
    /// The template as it was written, or as the recipe stands for it.
    pub text: String,
    /// Folder of the template or of `jumpbox.toml`: where relative source URIs are looked for.
    pub folder: PathBuf,
    /// The configuration in force; the built-in recipe where there is none.
    pub recipe: Recipe,
    /// What the booted image must answer.
    pub smoke_tests: Vec<SmokeTest>,
    /// What the author of the template or recipe would want to know, for people.
    pub warnings: Vec<String>,
}

impl Input {
    /// Reads the template, where one was named, and the configuration in force.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong: then all that is wrong with it.
    pub fn load(template: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let Loaded { value: recipe, folder, mut warnings } = load_recipe(context)?;
        let Some(file) = template else {
            let template = recipe.template();
            let (name, text, smoke_tests) =
                (recipe.image.name.clone(), template.to_json(), recipe.smoke_tests());
            return Ok(Self { name, template, text, folder, recipe, smoke_tests, warnings });
        };
        let source = read(file)?;
        let parsed = image_template::parse(&source);
        warnings.extend(sort_out(Category::Template, &source, &parsed.diagnostics)?);
        let template = parsed.template.ok_or_else(|| nothing_in(&source))?;
        let name =
            file.file_stem().map_or_else(|| "image".into(), |stem| stem.to_string_lossy().into_owned());
        let (folder, text) = (folder_of(file), source.text().to_owned());
        let smoke_tests = recipe::posture_tests();
        Ok(Self { name, template, text, folder, recipe, smoke_tests, warnings })
    }

    /// What the build may contact beyond the base's own archive: the hosts of the template's scripts and files,
    /// and the configuration's allow list. A recipe and the template that it stands for need the same.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let customizers = self.template.customize.iter().filter_map(|step| match step {
            Customizer::Shell(step) => uri_of(&step.script),
            Customizer::PowerShell(step) => uri_of(&step.script),
            Customizer::File(step) => step.source_uri.known(),
            _ => None,
        });
        let validations = self.template.validate.iter().flat_map(|validate| &validate.in_vm_validations);
        let validators = validations.filter_map(|step| match step {
            Validator::Shell(step) => uri_of(&step.script),
            Validator::PowerShell(step) => uri_of(&step.script),
            Validator::File(step) => step.source_uri.known(),
        });
        let named = customizers.chain(validators).filter_map(Endpoint::of_uri);
        let all: BTreeSet<_> = named.chain(self.recipe.allow.iter().cloned()).collect();
        all.into_iter().collect()
    }
}

/// The recipe in force, and where it stands.
pub struct Loaded<T> {
    /// What was read.
    pub value: T,
    /// Folder of the file, or the current one.
    pub folder: PathBuf,
    /// What its author would want to know, for people.
    pub warnings: Vec<String>,
}

/// Reads the configuration in force; the built-in recipe where there is none.
///
/// # Errors
/// When the file cannot be read or is wrong.
pub fn load_recipe(context: &Context) -> Result<Loaded<Recipe>, Failure> {
    let Some(file) = context.configuration()? else {
        return Ok(Loaded { value: Recipe::default(), folder: PathBuf::from("."), warnings: Vec::new() });
    };
    let source = read(&file)?;
    let parsed = recipe::parse(&source);
    let warnings = sort_out(Category::Input, &source, &parsed.diagnostics)?;
    let value = parsed.recipe.ok_or_else(|| nothing_in(&source))?;
    Ok(Loaded { value, folder: folder_of(&file), warnings })
}

/// Reads a text file no larger than any document may be.
///
/// # Errors
/// When it cannot be read, is too large or is not UTF-8.
pub fn read(file: &Path) -> Result<SourceText, Failure> {
    let limit = document::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(limit).read_to_end(&mut bytes))
        .map_err(|error| Failure::io("read", file, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(
            Category::Input,
            format!("{} is not a text file (byte {at} is not UTF-8)", file.display()),
        )
        .in_file(file)
    })?;
    Ok(SourceText::new(file.display().to_string(), text))
}

/// Errors become a failure, warnings texts.
///
/// # Errors
/// When any diagnostic is an error.
pub fn sort_out(
    category: Category,
    source: &SourceText,
    diagnostics: &[Diagnostic],
) -> Result<Vec<String>, Failure> {
    let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics.iter().partition(|found| found.is_error());
    let warnings = warnings.iter().map(|found| found.render(source).trim_end().to_owned()).collect();
    if errors.is_empty() {
        return Ok(warnings);
    }
    let problems = errors.iter().map(|found| Problem::in_document(category, found, source)).collect();
    Err(Failure::several(problems).beside(warnings))
}

fn uri_of(script: &Script) -> Option<&str> {
    match script {
        Script::Uri { uri, .. } => uri.known(),
        Script::Inline(_) => None,
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A reader that gives neither a value nor an error would be wrong; said rather than assumed.
fn nothing_in(source: &SourceText) -> Failure {
    Problem::new(Category::Input, format!("{} holds nothing that can be read", source.name())).into()
}
