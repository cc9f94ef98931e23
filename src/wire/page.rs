//! The page of a backend: what of it is fixed. Between the parts stand the title, the generator number and the UUID.

/// Up to the title, in which `<` is written as an entity.
pub const START: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<link rel=\"icon\" href=\"data:,\">\n\
    <style>h1 { font-size: 100px; text-align: center; overflow-wrap: anywhere }</style>\n<title>";
/// From the title to the generator number.
pub const NUMBER: &str = "</title>\n</head>\n<body>\n<h1>Generator #";
/// From there to the UUID, which is in lower case with hyphens.
pub const UUID: &str = "</h1>\n<h1>UUID=";
/// From there to the end.
pub const END: &str = "</h1>\n</body>\n</html>\n";
