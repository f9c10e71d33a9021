//! What a function may give back.

use std::fmt::Display;

/// Something that a function may give back: output bytes, or an error text.
pub trait IntoAnswer {
    /// The output, or the text of the error.
    ///
    /// # Errors
    /// The error that the function gave, as text.
    fn into_answer(self) -> Result<Vec<u8>, String>;
}

impl IntoAnswer for Vec<u8> {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        Ok(self)
    }
}

impl IntoAnswer for &[u8] {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        Ok(self.to_vec())
    }
}

impl IntoAnswer for String {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        Ok(self.into_bytes())
    }
}

impl IntoAnswer for &str {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        Ok(self.as_bytes().to_vec())
    }
}

/// No output.
impl IntoAnswer for () {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

/// The answer inside, or the error as its `Display` shows it.
impl<T: IntoAnswer, E: Display> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Result<Vec<u8>, String> {
        match self {
            Ok(answer) => answer.into_answer(),
            Err(error) => Err(error.to_string()),
        }
    }
}
