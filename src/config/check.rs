//! One check: typed, or a table `[[check]]` of the file; and the plan that it means.

mod misfits;
mod outage;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::layer::{Layer, layer};
use super::text::one_or_more;
use super::{expectations, request, streams, suggest};
use crate::check::duration_of;
use crate::check::grpc;
use crate::check::load::{BodyTransfer, SessionPlace};
use crate::check::plan::{
    AffinityPlan, Backing, CheckEnvironment, CheckPlan, ClientCertificate, Experiments, LoadPlan, RequestPlan,
    TargetPlan, Trust,
};
use crate::error::Problem;
use crate::wire::Time;
use verdict::outcome::Outcome;
use verdict::rules::Expectations;

layer! {
    /// One layer of it.
    #[derive(Args, Deserialize, Default, Clone, Debug)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub(crate) struct CheckConfig {
        #[arg(skip)]
        name: Option<String>,

        /// URLs of the balancer, such as http://localhost:8080/uuid, h2c://… or grpc://HOST:PORT[/SERVICE/METHOD]; several get requests in
        /// turn
        #[serde(deserialize_with = "one_or_more")]
        pub(crate) url: Vec<String>,

        /// With https://: also trust the certificates in this file (PEM), of authorities or of the balancer itself
        #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "Connection")]
        ca: Option<PathBuf>,

        /// With https://: accept any certificate
        #[arg(long, help_heading = "Connection")]
        insecure: bool,

        /// Client certificate (PEM), for a balancer that requires one
        #[arg(long, value_name = "FILE", help_heading = "Connection")]
        cert: Option<PathBuf>,

        /// Private key of --cert (PEM) [default: in the file of --cert]
        #[arg(long, value_name = "FILE", requires = "cert", help_heading = "Connection")]
        key: Option<PathBuf>,

        /// Connect to this address for that host and port, as in curl; repeatable
        #[arg(long, value_name = "HOST:PORT:ADDRESS", help_heading = "Connection")]
        #[serde(deserialize_with = "one_or_more")]
        resolve: Vec<String>,

        /// Connect to another host and port than those of the URL, as in curl; repeatable
        #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2", help_heading = "Connection")]
        #[serde(deserialize_with = "one_or_more")]
        connect_to: Vec<String>,

        /// Send a PROXY protocol header, version 1, at the start of each connection
        #[arg(long, help_heading = "Connection")]
        haproxy_protocol: bool,

        /// Expectation; repeatable. `even` or weights such as 5:1:1 or 9001=5,9002=1; an algorithm such as round-robin, least-connections,
        /// sticky; `backup:9003`: no requests while others are available; `lossless`: no client sees an error; `intact`, `path:preserved`,
        /// `host:preserved`, `header:NAME:preserved`: nothing is changed on the way; `client-address`: backends learn it; `mirrored:20%`:
        /// executed twice; `status:2xx`; `per:request`, `per:call`, `per:connection`: what is balanced; for outages `back:5s`, `ejected:5`
        /// (failures at most), `errors-end:1s`, `slow-start:10s`; for streams `unbuffered:100ms`, `alive:even`, `uncut`; for TLS to
        /// backends `tls:verified` [default: what the algorithm promises]
        #[arg(long, value_name = "EXPECTATION", help_heading = "Expectations", value_parser = suggest::text(expectations::words()), hide_possible_values = true)]
        #[serde(deserialize_with = "one_or_more")]
        expect: Vec<String>,

        /// Smallest deviation of a share to detect, from 0.01 to 50 percentage points; deviations up to half of that pass [default: 2%, and
        /// no deviation beyond chance passes]
        #[arg(long, value_name = "PERCENT", help_heading = "Expectations")]
        pub(crate) tolerance: Option<String>,

        /// Outcome that does not fail the check, such as stale or duplicated; repeatable
        #[arg(long, value_name = "OUTCOME", help_heading = "Expectations", value_parser = suggest::text(Outcome::ALL.map(Outcome::name).to_vec()), hide_possible_values = true)]
        #[serde(deserialize_with = "one_or_more")]
        allow: Vec<String>,

        /// Requests of the sample, up to 1,000,000,000 [default: as many as --tolerance needs]
        #[arg(short = 'n', long, value_name = "COUNT", help_heading = "Traffic")]
        requests: Option<u64>,

        /// Most requests of the whole check, including warm-up and experiments
        #[arg(long, value_name = "COUNT", help_heading = "Traffic")]
        budget: Option<u64>,

        /// Longest duration of the sample [default: 60s, until 5s after the last step of an outage, or as long as -n takes]
        #[arg(long, value_name = "TIME", help_heading = "Traffic")]
        duration: Option<String>,

        /// Concurrent connections, up to 60,000 [default: 32; 512 with --rate]
        #[arg(short = 'c', long, value_name = "COUNT", help_heading = "Traffic")]
        connections: Option<usize>,

        /// Use HTTP/2: with https:// by ALPN, with http:// (or h2c://) with prior knowledge
        #[arg(long, help_heading = "Connection")]
        http2: bool,

        /// With HTTP/2: concurrent requests on each connection, up to 1,000 [default: 1]
        #[arg(long, value_name = "COUNT", help_heading = "Traffic")]
        streams: Option<usize>,

        /// Requests per second, up to 10,000,000, in all phases; the sample is sent on schedule, however slow responses are [default: each
        /// connection sends as soon as it has a response]
        #[arg(long, value_name = "RATE", help_heading = "Traffic")]
        rate: Option<f64>,

        /// Use a new connection for each request
        #[arg(long, help_heading = "Traffic")]
        new_connections: bool,

        /// Response timeout [default: 10s]
        #[arg(long, value_name = "TIME", help_heading = "Traffic")]
        timeout: Option<String>,

        /// Hold streams open instead: server-sent events, `chunks`, a `download` or WebSockets (`ws`, or a URL with ws://); 30 (-c) at
        /// once, for 20 s (--duration)
        #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "events", help_heading = "Traffic", value_parser = suggest::text(streams::words()), hide_possible_values = true)]
        stream: Option<String>,

        /// Skip the experiments that identify the algorithm: only your own request is sent
        #[arg(long, conflicts_with = "experiments_for", help_heading = "Traffic")]
        no_experiments: bool,

        /// Longest duration of the experiments
        #[arg(long, value_name = "TIME", help_heading = "Traffic")]
        experiments_for: Option<String>,

        /// Request method [default: GET; POST with --body]
        #[arg(short = 'X', long, value_name = "METHOD", help_heading = "Request")]
        method: Option<String>,

        /// Request header, `Name: value`; repeatable
        #[arg(short = 'H', long, value_name = "HEADER", help_heading = "Request")]
        #[serde(deserialize_with = "one_or_more")]
        header: Vec<String>,

        /// File with the request body, up to 64 MiB; @- is standard input. Repeatable: requests use them in turn
        #[arg(long, value_name = "FILE", conflicts_with = "body_bytes", help_heading = "Request")]
        #[serde(deserialize_with = "one_or_more")]
        body: Vec<String>,

        /// Length of a generated request body, up to 64 MiB
        #[arg(long, value_name = "BYTES", help_heading = "Request")]
        body_bytes: Option<usize>,

        /// Send the body in chunks, without Content-Length
        #[arg(long, help_heading = "Request")]
        chunked: bool,

        /// With grpc://: deadline of each call, sent as grpc-timeout; the client does not wait longer
        #[arg(long, value_name = "TIME", help_heading = "Request")]
        deadline: Option<String>,

        /// Wait for `100 Continue` before sending the body, for at most a second
        #[arg(long, help_heading = "Request")]
        expect_continue: bool,

        /// Header that the balancer may hash, in addition to the usual ones; repeatable
        #[arg(long, value_name = "NAME", help_heading = "Affinity")]
        #[serde(deserialize_with = "one_or_more")]
        key_header: Vec<String>,

        /// Where a response has the id of a session that the balancer must keep at its backend: header:NAME, cookie:NAME, or
        /// json:/POINTER=HEADER; later requests send it back, the last in that header
        #[arg(long, value_name = "WHERE", help_heading = "Affinity")]
        session: Option<String>,

        /// Cookie that the balancer may hash, in addition to the usual ones; repeatable
        #[arg(long, value_name = "NAME", help_heading = "Affinity")]
        #[serde(deserialize_with = "one_or_more")]
        key_cookie: Vec<String>,

        /// Scenario: steps on backends during the sample, such as kill:9002@2s,start@6s; also pause, resume, drain, unready, ready, clear
        /// and faults: status:503:10%:9002@2s, latency:200ms±50ms:9002@2s, reset, hang, close, close-midway, fail-first, unhealthy; in a
        /// rehearsal also gone (the host is silent), unreachable and back
        #[arg(long, value_name = "STEPS", help_heading = "Resilience")]
        outage: Option<String>,

        /// Shell command to run during the sample, after 1 s or at a given time: 'nginx -s reload@2s'; no request may be lost. With --with,
        /// {pid} and {directory} are the balancer's: 'kill -HUP {pid}'
        #[arg(long, value_name = "COMMAND", help_heading = "Resilience")]
        during: Option<String>,

        /// For backends of your own: where a response names its backend, header:NAME, cookie:NAME, json:/pointer or regex:EXPRESSION
        #[arg(long, value_name = "WHERE")]
        identity: Option<String>,
    }
}

const MAX_URLS: usize = 256;

fn no_url() -> Problem {
    let hint = "give each check one, such as url = \"http://localhost:8080/uuid\"";
    Problem::new("it has no URL").on("[[check]]").hint(hint)
}

impl CheckConfig {
    /// At this URL, unless it names one.
    pub(crate) fn at(self, url: &str) -> CheckConfig {
        let url = if self.url.is_empty() { vec![url.to_owned()] } else { self.url };
        CheckConfig { url, ..self }
    }

    /// Whether its requests need HTTP/2, whatever the URL says.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.http2
    }

    /// What is typed, and beneath it what the file says. An option that excludes another one wins over it too.
    pub(crate) fn over(self, mut file: CheckConfig) -> CheckConfig {
        if self.insecure {
            file.ca = None;
        }
        if self.ca.is_some() {
            file.insecure = false;
        }
        if self.cert.is_some() {
            file.key = None;
        }
        if self.body_bytes.is_some() {
            file.body.clear();
        }
        if !self.body.is_empty() {
            file.body_bytes = None;
        }
        if self.no_experiments {
            file.experiments_for = None;
        }
        if self.experiments_for.is_some() {
            file.no_experiments = false;
        }
        self.or(file)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let bodies = self.body.iter().map(|body| PathBuf::from(body.trim_start_matches('@')));
        [&self.ca, &self.cert, &self.key].into_iter().flatten().cloned().chain(bodies).collect()
    }

    /// The plan that it means. Files of bodies are read.
    pub(crate) fn resolve(self, backing: &Backing) -> Result<CheckPlan, Problem> {
        let name = self.name.clone();
        let in_check = |problem: Problem| match name {
            Some(name) => problem.within(format!("check {name}")),
            None => problem,
        };
        self.plan(backing).map_err(in_check)
    }

    fn plan(self, backing: &Backing) -> Result<CheckPlan, Problem> {
        let mut urls = self.url.iter().cloned();
        let url = urls.next().ok_or_else(no_url)?;
        if self.url.len() > MAX_URLS {
            return Err(Problem::new(format!("{} URLs: one check has {MAX_URLS} at most", self.url.len())));
        }
        let headers = request::headers(&self.header)?;
        let routes = [
            self.resolve.iter().map(|text| request::resolve(text)).collect::<Result<Vec<_>, _>>()?,
            self.connect_to.iter().map(|text| request::connect_to(text)).collect::<Result<Vec<_>, _>>()?,
        ];
        let bodies = self.bodies()?;
        let (fields, bodies) = if self.is_call() {
            self.refuse_what_calls_are_not()?;
            let deadline = time("--deadline", self.deadline.as_deref())?;
            (grpc::with_fields(deadline, headers.kept), grpc::messages(&bodies))
        } else {
            (headers.kept, bodies)
        };
        let connections = self.connections.map(|count| within("-c", count, 60_000)).transpose()?;
        let duration = time("--duration", self.duration.as_deref())?;
        let expectations = Expectations {
            sessions: self.session.is_some(),
            ..expectations::resolve(&self.expect, self.tolerance.as_deref(), &self.allow)?
        };
        let scenario = outage::scenario(self.outage.as_deref(), self.during.as_deref())?;
        let asked = streams::Asked {
            stream: self.stream.as_deref(),
            connections,
            duration: duration.or_else(|| (!scenario.steps.is_empty()).then(|| duration_of(&scenario))),
        };
        let streams = streams::plan(&url, &asked)?;
        let transfer = self.transfer(headers.transfer);
        self.refuse_what_streams_are_not(streams.is_some(), transfer, &expectations)?;
        CheckConfig::refuse_to_wait_without_a_body(!bodies.is_empty(), transfer)?;
        outage::refuse_late_steps(&scenario, duration)?;
        if streams.is_some() {
            streams::refuse_codings(&fields)?;
        }
        let (url, streams) = streams.map_or((url, None), |(url, plan)| (url, Some(plan)));
        Ok(CheckPlan {
            name: self.name.clone(),
            target: TargetPlan {
                further_urls: urls.collect(),
                http2: self.http2,
                trust: self.trust()?,
                client_certificate: self.client_certificate()?,
                routes: routes.concat(),
                haproxy_protocol: self.haproxy_protocol,
                ..TargetPlan::new(url)
            },
            environment: CheckEnvironment::default(),
            request: RequestPlan { method: self.method()?, headers: fields, bodies, transfer, grpc: self.is_call() },
            load: self.load(connections, duration)?,
            expectations,
            affinity: self.affinity()?,
            scenario,
            streams,
            backends: self.backing(backing)?,
        })
    }

    /// As options and headers ask for it.
    fn transfer(&self, by_headers: BodyTransfer) -> BodyTransfer {
        BodyTransfer {
            chunked: self.chunked || by_headers.chunked,
            expect_continue: self.expect_continue || by_headers.expect_continue,
        }
    }

    fn load(&self, connections: Option<usize>, duration: Option<Duration>) -> Result<LoadPlan, Problem> {
        Ok(LoadPlan {
            connections,
            multiplex: self.multiplex()?,
            new_connections: self.new_connections,
            rate: self.rate()?,
            requests: self.requests.map(|count| within("-n", count, 1_000_000_000)).transpose()?,
            budget: self.budget.map(|count| within("--budget", count, 1_000_000_000)).transpose()?,
            experiments: self.experiments()?,
            duration,
            timeout: self.patience()?,
        })
    }

    fn affinity(&self) -> Result<AffinityPlan, Problem> {
        Ok(AffinityPlan {
            headers: names("--key-header", &self.key_header)?,
            cookies: names("--key-cookie", &self.key_cookie)?,
            session: self.session()?,
        })
    }

    fn bodies(&self) -> Result<Vec<Arc<[u8]>>, Problem> {
        Ok(match self.body_bytes {
            Some(_) if !self.body.is_empty() => {
                return Err(Problem::new("--body and --body-bytes: a body is read or generated").hint("leave one out"));
            }
            Some(0) => Vec::new(),
            Some(bytes) => vec![vec![b'x'; within("--body-bytes", bytes, request::MAX_BODY)?].into()],
            None => request::bodies(&self.body)?,
        })
    }

    /// Whether requests are calls of gRPC.
    fn is_call(&self) -> bool {
        self.url.iter().any(|url| grpc::is_url(url))
    }

    /// How long a response is waited for.
    fn patience(&self) -> Result<Duration, Problem> {
        let timeout = time("--timeout", self.timeout.as_deref())?.unwrap_or(Duration::from_secs(10));
        match time("--deadline", self.deadline.as_deref())? {
            Some(_) if !self.is_call() => {
                Err(Problem::new("it is for gRPC calls").on("--deadline").hint("begin the URL with grpc://"))
            }
            // The client waits no longer than it says.
            deadline => Ok(deadline.unwrap_or(timeout).min(timeout)),
        }
    }

    /// Requests at once on a connection.
    fn multiplex(&self) -> Result<usize, Problem> {
        let streams = self.streams.map_or(Ok(1), |count| within("--streams", count, 1_000))?;
        let excludes = [("--new-connections", self.new_connections), ("--expect-continue", self.expect_continue)];
        match excludes.iter().find(|(_, is_given)| *is_given && streams > 1) {
            None => Ok(streams),
            Some((option, _)) => {
                Err(Problem::new(format!("{option} cannot be combined with --streams")).hint("leave one out"))
            }
        }
    }

    /// This check with that host at that address, as `--resolve` takes it.
    pub(crate) fn at_address(mut self, route: String) -> CheckConfig {
        self.resolve.push(route);
        self
    }

    fn session(&self) -> Result<Option<SessionPlace>, Problem> {
        let bad = |text: &str| {
            Problem::new("expected header:NAME, cookie:NAME or json:/POINTER=HEADER").on(format!("--session {text}"))
        };
        self.session.as_deref().map(|text| text.parse().map_err(|_| bad(text))).transpose()
    }

    fn trust(&self) -> Result<Trust, Problem> {
        match (&self.ca, self.insecure) {
            (None, false) => Ok(Trust::Machine),
            (Some(file), false) => Ok(Trust::Also(file.clone())),
            (None, true) => Ok(Trust::Anyone),
            (Some(_), true) => {
                let what = "--ca and --insecure: either trusts some certificates, or any";
                Err(Problem::new(what).hint("leave one out"))
            }
        }
    }

    fn client_certificate(&self) -> Result<Option<ClientCertificate>, Problem> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(certificate), key) => Ok(Some(ClientCertificate {
                certificate: certificate.clone(),
                key: key.as_ref().unwrap_or(certificate).clone(),
            })),
            (None, Some(_)) => Err(Problem::new("it needs --cert, the certificate that it belongs to").on("--key")),
        }
    }

    fn method(&self) -> Result<String, Problem> {
        let usual = if self.body.is_empty() && !self.is_call() { "GET" } else { "POST" };
        request::method(self.method.as_deref().unwrap_or(usual))
    }

    fn rate(&self) -> Result<Option<f64>, Problem> {
        match self.rate {
            Some(rate) if !(rate > 0.0 && rate <= 1e7) => {
                Err(Problem::new("expected requests per second, above 0 and at most 10,000,000")
                    .on(format!("--rate {rate}")))
            }
            rate => Ok(rate),
        }
    }

    fn experiments(&self) -> Result<Experiments, Problem> {
        match (self.no_experiments, time("--experiments-for", self.experiments_for.as_deref())?) {
            (false, None) => Ok(Experiments::Usual),
            (false, Some(time)) => Ok(Experiments::For(time)),
            (true, None) => Ok(Experiments::Off),
            (true, Some(_)) => Err(Problem::new("--no-experiments and --experiments-for: either none, or for a time")
                .hint("leave one out")),
        }
    }

    fn backing(&self, backing: &Backing) -> Result<Backing, Problem> {
        match (&self.identity, backing) {
            (Some(identity), Backing::Any) => Ok(Backing::Others(request::identity(identity)?)),
            (Some(_), _) => {
                Err(Problem::new("it is for backends of your own, but a fleet is named or started").on("--identity"))
            }
            (None, backing) => Ok(backing.clone()),
        }
    }
}

/// At least one, and not more than the machine is good for.
fn within<T: PartialOrd + From<u8> + Display>(option: &str, count: T, most: T) -> Result<T, Problem> {
    if count >= T::from(1) && count <= most {
        Ok(count)
    } else {
        Err(Problem::new(format!("expected at least 1 and at most {most}")).on(format!("{option} {count}")))
    }
}

fn time(option: &str, text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let read = |text: &str| match text.parse() {
        Ok(Time(time)) => Ok(time),
        Err(why) => Err(Problem::new(why).on(format!("{option} {text}"))),
    };
    text.map(read).transpose()
}

/// Names of fields, or of cookies, which have the same letters.
fn names(option: &str, names: &[String]) -> Result<Vec<String>, Problem> {
    let wrong = names.iter().find(|name| !http::is_token(name.as_bytes()));
    let problem =
        |name: &String| Problem::new("expected a name without spaces, such as X-User").on(format!("{option} {name:?}"));
    wrong.map_or_else(|| Ok(names.to_vec()), |name| Err(problem(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn typed(words: &[&str]) -> CheckConfig {
        let command = CheckConfig::augment_args(clap::Command::new("test").no_binary_name(true));
        CheckConfig::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn written(text: &str) -> CheckConfig {
        toml::from_str(text).unwrap()
    }

    fn plan(check: CheckConfig) -> Result<CheckPlan, String> {
        check.at("http://localhost/").resolve(&Backing::Any).map_err(|problem| problem.to_string())
    }

    #[test]
    fn every_option_is_a_key_of_the_file() {
        let command = CheckConfig::augment_args(clap::Command::new("test"));
        let options: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        assert!(options.len() >= 30, "{options:?}");
        for option in options {
            let values = ["true", "5", "\"x\"", "[\"x\"]"];
            let is_known = |value: &&str| toml::from_str::<CheckConfig>(&format!("{option} = {value}")).is_ok();
            assert!(values.iter().any(is_known), "{option} is not understood in the file");
        }
        assert!(toml::from_str::<CheckConfig>("nonsense = 1").is_err());
        assert_eq!(written("url = \"a\"").url, ["a"]);
        assert_eq!(written("url = [\"a\", \"b\"]").url, ["a", "b"]);
    }

    #[test]
    fn what_is_typed_wins_over_the_file_also_where_options_exclude_each_other() {
        let file = || written("ca = \"ca.pem\"\nbody-bytes = 5\nexperiments-for = \"3s\"\nrequests = 7\nrate = 2.0");
        let merged = plan(typed(&["--insecure", "--no-experiments", "-n", "9"]).over(file())).unwrap();
        assert_eq!((merged.target.trust, merged.load.experiments), (Trust::Anyone, Experiments::Off));
        assert_eq!((merged.load.requests, merged.load.rate, merged.request.bodies.len()), (Some(9), Some(2.0), 1));
        let merged = typed(&["--body", "prompt.json"]).over(file());
        assert_eq!((merged.body_bytes, merged.body), (None, vec!["prompt.json".to_owned()]));
    }

    #[test]
    fn a_plan_without_options_is_the_usual_one() {
        let plan = plan(typed(&[])).unwrap();
        assert_eq!(
            (plan.request.method.as_str(), plan.request.bodies.len(), plan.load.timeout),
            ("GET", 0, Duration::from_secs(10))
        );
        assert_eq!((plan.load.experiments, plan.load.budget, plan.load.rate), (Experiments::Usual, None, None));
        assert_eq!(plan.target.url, "http://localhost/");
    }

    #[test]
    fn a_header_may_ask_for_what_the_check_does_itself() {
        let header = ["--header", "Transfer-Encoding: chunked", "--header", "Expect: 100-continue", "--header", "A: b"];
        let plan = plan(typed(&header)).unwrap();
        assert_eq!(plan.request.transfer, BodyTransfer { chunked: true, expect_continue: true });
        assert_eq!(plan.request.headers, [("A".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_was_expected() {
        for (words, part) in [
            (&["-n", "0"][..], "-n 0: expected at least 1"),
            (&["-c", "60001"], "-c 60001: expected at least 1 and at most 60000"),
            (&["--budget", "0"], "--budget 0"),
            (&["--rate=-1"], "--rate -1: expected requests per second"),
            (&["--rate", "nan"], "--rate NaN"),
            (&["--body-bytes", "99999999"], "--body-bytes"),
            (&["--method", "get"], "capital letters"),
            (&["--method", ""], "capital letters"),
            (&["--duration", "0s"], "above 0"),
            (&["--timeout", "5"], "--timeout 5: expected a time"),
            (&["--experiments-for", "soon"], "--experiments-for soon"),
            (&["--outage", "kill:9002"], "--outage kill:9002"),
            (&["--outage", "kill:9002@1s,strat@2s"], "expected kill, pause"),
            (&["--body", "/nowhere"], "--body /nowhere"),
        ] {
            let error = plan(typed(words)).map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
        let file = written("name = \"a\"\nca = \"x\"\ninsecure = true");
        assert_eq!(plan(file).unwrap_err(), "check a: --ca and --insecure: either trusts some certificates, or any");
        assert!(plan(written("body = \"x\"\nbody-bytes = 1")).is_err());
    }
}
