//! What went wrong, as clients hear it.

use contracts::clients::ClientError;
use service_kit::problem::{Problem, ProblemCode};
use storage::StoreError;

use crate::domain::user::{Field, Taken};
use crate::use_cases::{KeyError, LogInError, RegisterError};

/// A store without an answer: 503, come back.
pub(super) fn store(error: StoreError) -> Problem {
    ClientError::from(error).into()
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(flaws) => flaws
                .into_iter()
                .fold(Self::new(ProblemCode::Invalid), |problem, flaw| {
                    problem.with_error(pointer(flaw.field), flaw.detail)
                }),
            RegisterError::Taken(taken) => taken_problem(taken),
            RegisterError::Busy { retry_after } => Self::overloaded(retry_after),
            RegisterError::Hashing(cause) => Self::internal(cause),
            RegisterError::Store(error) => store(error),
        }
    }
}

impl From<LogInError> for Problem {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::WrongCredentials => Self::new(ProblemCode::WrongCredentials),
            LogInError::Closed { retry_after } => {
                Self::too_many_requests(retry_after).with_detail("too many failed logins with this user name")
            }
            LogInError::Busy { retry_after } => Self::overloaded(retry_after),
            LogInError::Hashing(cause) => Self::internal(cause),
            LogInError::Store(error) => store(error),
            LogInError::Keys(error) => error.into(),
            LogInError::Mint(error) => Self::internal(error),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        ClientError::from(error).into()
    }
}

fn taken_problem(taken: Taken) -> Problem {
    let detail = match taken {
        Taken {
            username: true,
            email: true,
        } => "the user name and the e-mail address are taken",
        Taken { username: true, .. } => "the user name is taken",
        Taken { .. } => "the e-mail address is taken",
    };
    let blame = [(taken.username, Field::Username), (taken.email, Field::Email)];
    let problem = Problem::new(ProblemCode::AlreadyExists).with_detail(detail);
    let blamed = blame.into_iter().filter(|(blamed, _)| *blamed);
    blamed.fold(problem, |problem, (_, field)| {
        problem.with_error(pointer(field), "taken")
    })
}

fn pointer(field: Field) -> String {
    format!("/{}", field.as_str())
}
