//! What can be called, by its path.

use api::generator::GeneratorMethod;

/// A method of one of the services that a backend has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallMethod {
    Generator(GeneratorMethod),
    Health(HealthMethod),
    /// Of either version, whose messages are alike.
    Reflection,
}

/// A method of `grpc.health.v1.Health`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HealthMethod {
    Check,
    List,
    Watch,
}

/// Services by their full names.
pub(super) const HEALTH: &str = "grpc.health.v1.Health";
pub(super) const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
/// Reflection as older clients request it.
pub(super) const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

impl CallMethod {
    /// None of one that nobody serves here.
    pub(super) fn of(path: &str) -> Option<CallMethod> {
        if let Some(method) = GeneratorMethod::ALL.into_iter().find(|method| method.path() == path) {
            return Some(CallMethod::Generator(method));
        }
        match path.strip_prefix('/')?.split_once('/')? {
            (HEALTH, "Check") => Some(CallMethod::Health(HealthMethod::Check)),
            (HEALTH, "List") => Some(CallMethod::Health(HealthMethod::List)),
            (HEALTH, "Watch") => Some(CallMethod::Health(HealthMethod::Watch)),
            (REFLECTION | REFLECTION_ALPHA, "ServerReflectionInfo") => Some(CallMethod::Reflection),
            _ => None,
        }
    }

    /// Whether the response may begin before the request has ended.
    pub(super) fn converses(self) -> bool {
        match self {
            CallMethod::Generator(method) => method == GeneratorMethod::Echo,
            CallMethod::Health(_) => false,
            CallMethod::Reflection => true,
        }
    }

    /// Whether its request is exactly one message.
    pub(super) fn takes_one(self) -> bool {
        match self {
            CallMethod::Generator(GeneratorMethod::Generate | GeneratorMethod::Events) | CallMethod::Health(_) => true,
            CallMethod::Generator(GeneratorMethod::Collect | GeneratorMethod::Echo) | CallMethod::Reflection => false,
        }
    }
}
