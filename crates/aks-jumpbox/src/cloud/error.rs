//! What the workflow and its client say when they fail, as users meet it.

use azure::ErrorKind;
use build_engine::boot::NoAnswer;
use workflow::Error;

use crate::errors::{Category, Failure, Problem};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Stopped => Self::interrupted(),
            Error::Azure { error, .. } => told(message, &error).into(),
            Error::Operation { .. } => Problem::new(Category::Build, message).into(),
            Error::Run { outputs, .. } => {
                let problem = Problem::new(Category::Build, message);
                if outputs.is_empty() {
                    problem.into()
                } else {
                    problem.hint(format!("made in spite of it: {}", outputs.join(", "))).into()
                }
            }
            Error::Refused { hint, .. } => Problem::new(Category::Build, message).hint(hint).into(),
            Error::OutOfTime { .. } => {
                Problem::new(Category::Azure, message).hint("the same command again goes on waiting").into()
            }
            Error::File { path, .. } => Problem::new(Category::Host, message).in_file(path).into(),
            Error::InUse(path) => Problem::new(Category::Host, message)
                .in_file(path)
                .hint("wait until it has ended, or name another file with --state")
                .into(),
            Error::NotState { path, .. } | Error::OtherPlace { path, .. } => {
                Problem::new(Category::Input, message)
                    .in_file(path)
                    .hint("name another file with --state; this one tells what is still to be cleaned up")
                    .into()
            }
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Problem::new(Category::Build, error.to_string())
            .hint("the image needs sh, base64, sudo and the Azure VM agent")
            .into()
    }
}

fn told(message: String, error: &azure::Error) -> Problem {
    match &error.kind {
        ErrorKind::Credential { hint, .. } => {
            Problem::new(Category::Azure, message).caused_by(error).hint(hint.clone())
        }
        ErrorKind::Refused { status: 401 | 403, .. } => Problem::new(Category::Access, message)
            .caused_by(error)
            .hint("`check --deployer OBJECT_ID` tells which role is missing, and where"),
        ErrorKind::Refused { status, .. } if *status < 500 => {
            Problem::new(Category::Build, message).caused_by(error)
        }
        _ => Problem::new(Category::Azure, message)
            .caused_by(error)
            .hint("the same command again goes on from here"),
    }
}

impl From<azure::Error> for Failure {
    fn from(error: azure::Error) -> Self {
        told("could not reach Azure".to_owned(), &error).into()
    }
}
