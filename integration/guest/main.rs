//! The program inside the containers under test. `guest probe` tells what it sees, the other words are small deeds;
//! `guest launch` and `guest hook` run on the host side, as caller of the runtime and as hook.

mod bomb;
mod deeds;
mod launch;
mod probe;
mod reach;
mod sockets;
mod spy;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (word, rest) = args.split_first().map_or(("probe", &[][..]), |(word, rest)| (word.as_str(), rest));
    let outcome = match word {
        "probe" => {
            println!("{}", probe::report(rest));
            Ok(ExitCode::SUCCESS)
        }
        "launch" => launch::launch(rest),
        "hook" => launch::hook(rest),
        "agent" => sockets::agent(rest),
        "pidfd" => sockets::pidfd(rest),
        "console" => sockets::console(rest),
        _ => deeds::perform(word, rest),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{}: {}", args.join(" "), reason(&error));
        ExitCode::FAILURE
    })
}

/// The kernel's words for an error, without the number that std appends.
fn reason(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |raw| nix::errno::Errno::from_raw(raw).desc().to_owned())
}
