//! [`Fault`]: why a stream ends that is not to go on.

use std::{error::Error, fmt};

/// Why a stream ends that is not to go on. The session goes on, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message makes no sense: INVALID_ARGUMENT.
    Senseless(String),
    /// A message may not come at this point of the stream: FAILED_PRECONDITION.
    OutOfPlace(String),
    /// It is too much: RESOURCE_EXHAUSTED.
    TooMuch(String),
    /// The server cannot do it for the moment, or any more: UNAVAILABLE.
    Unavailable(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Senseless(why)
        | Self::OutOfPlace(why)
        | Self::TooMuch(why)
        | Self::Unavailable(why)) = self;
        f.write_str(why)
    }
}

impl Error for Fault {}

#[cfg(feature = "transport")]
impl From<Fault> for tonic::Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Senseless(why) => Self::invalid_argument(why),
            Fault::OutOfPlace(why) => Self::failed_precondition(why),
            Fault::TooMuch(why) => Self::resource_exhausted(why),
            Fault::Unavailable(why) => Self::unavailable(why),
        }
    }
}
