//! Typed functions: JSON in, JSON out.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::Serialize;

/// Makes a function of bytes out of a function of values.
///
/// An input that is not the JSON of an `Input` is answered with an error that says where.
///
/// ```
/// use std::convert::Infallible;
///
/// #[derive(serde::Deserialize)]
/// struct Order { price: f64, pieces: u32 }
///
/// fn total(order: Order) -> Result<f64, Infallible> {
///     Ok(order.price * f64::from(order.pieces))
/// }
///
/// weft_guest::functions! { total => weft_guest::json(total) }
/// # fn main() {
/// let answer = weft_guest::json(total)(br#"{"price": 1.5, "pieces": 4}"#);
/// assert_eq!(answer, Ok(b"6.0".to_vec()));
/// # }
/// ```
pub fn json<Input, Output, E>(
    function: impl Fn(Input) -> Result<Output, E>,
) -> impl Fn(&[u8]) -> Result<Vec<u8>, String>
where
    Input: DeserializeOwned,
    Output: Serialize,
    E: Display,
{
    move |bytes| {
        let input = serde_json::from_slice(bytes)
            .map_err(|error| format!("the input is not as expected: {}", error))?;
        let output = function(input).map_err(|error| error.to_string())?;
        serde_json::to_vec(&output).map_err(|error| format!("the output cannot be JSON: {}", error))
    }
}
