//! PURE. (placeholder while in work)
use crate::check::report::Report;
/// Html.
pub fn html(report: &Report) -> String {
    crate::check::report::markdown::markdown(report)
}
