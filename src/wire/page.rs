//! The page of a backend: what of it is fixed. Between the parts come its colour, the title, the headline and the UUID.

/// Up to the colour of the backend.
pub(crate) const START: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<link rel=\"icon\" href=\"data:,\">\n\
    <style>h1 { font-size: 100px; text-align: center; overflow-wrap: anywhere } html { border-top: 24px solid #";
/// From there to the title, in which `<` is written as an entity.
pub(crate) const TITLE: &str = " }</style>\n<title>";
/// From the title to the headline, which says which backend it is: [`GENERATOR`] and its number, or [`BACKEND`] and its name.
pub(crate) const HEADLINE: &str = "</title>\n</head>\n<body>\n<h1>";
/// Stands before a generator number.
pub(crate) const GENERATOR: &str = "Generator #";
/// Stands before the name of a backend that has no number.
pub(crate) const BACKEND: &str = "Backend ";
/// From there to the UUID, which is in lower case with hyphens.
pub(crate) const UUID: &str = "</h1>\n<h1>UUID=";
/// From the UUID to the end of the page.
pub(crate) const END: &str = "</h1>\n</body>\n</html>\n";

pub(crate) const COLOUR_DIGITS: usize = 6;
/// Of backends wherever they are shown, by their place in the fleet: those of Okabe and Ito (2008), which people who see colours
/// differently can tell apart.
pub(crate) const COLOURS: [&str; 8] = ["0072b2", "e69f00", "009e73", "cc79a7", "56b4e9", "d55e00", "f0e442", "7f7f7f"];

/// The colour of the backend in this place.
pub(crate) fn colour(place: u16) -> &'static str {
    COLOURS[usize::from(place) % COLOURS.len()]
}
