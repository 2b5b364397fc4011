//! Families of browsers and systems, and kinds of devices, read from a user agent. Families only: what follows a version number is
//! frozen or made up in most browsers today.

/// Marks of browsers, before them those of the browsers that claim to be them as well.
const FAMILIES: [(&str, &str); 27] = [
    ("FBAN/", "Facebook"),
    ("FBAV/", "Facebook"),
    ("Instagram ", "Instagram"),
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Opera/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi"),
    ("UCBrowser/", "UC Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Focus/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("GSA/", "Google App"),
    ("Chrome/", "Chrome"),
    ("MSIE ", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
    ("Version/", "Safari"),
    ("iPhone OS ", "Safari"),
];

/// Marks of systems, before them those of the systems that claim to be them as well.
const SYSTEMS: [(&str, &str); 11] = [
    ("Windows", "Windows"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("iPod", "iOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
];

/// Marks of devices, before them those that go with another as well.
const DEVICES: [(&str, &str); 14] = [
    ("SmartTV", "TV"),
    ("SMART-TV", "TV"),
    ("Smart-TV", "TV"),
    ("HbbTV", "TV"),
    ("GoogleTV", "TV"),
    ("Android TV", "TV"),
    ("Web0S", "TV"),
    ("CrKey", "TV"),
    ("PlayStation", "Console"),
    ("Xbox", "Console"),
    ("Nintendo", "Console"),
    ("iPad", "Tablet"),
    ("Tablet", "Tablet"),
    ("Mobi", "Mobile"),
];

fn first_of(marks: &[(&str, &'static str)], agent: &str) -> Option<&'static str> {
    marks.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}

/// The browser's family; none if it is not known.
pub fn family(agent: &str) -> Option<&'static str> {
    first_of(&FAMILIES, agent)
}

/// The system's family.
pub fn system(agent: &str) -> &'static str {
    first_of(&SYSTEMS, agent).unwrap_or("Other")
}

/// The kind of device. Tablets with Android are those that do not say that they are mobile.
pub fn device(agent: &str) -> &'static str {
    let known = first_of(&DEVICES, agent);
    known.unwrap_or(if agent.contains("Android") { "Tablet" } else { "Desktop" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_of_today_and_of_yesterday() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                ["Chrome", "Windows", "Desktop"],
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
                ["Edge", "Windows", "Desktop"],
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
                ["Firefox", "Windows", "Desktop"],
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                ["Safari", "macOS", "Desktop"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                ["Safari", "iOS", "Mobile"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
                ["Chrome", "iOS", "Mobile"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile/15E148 Safari/605.1.15",
                ["Firefox", "iOS", "Mobile"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
                ["Safari", "iOS", "Mobile"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F79 [FBAN/FBIOS;FBAV/470.0]",
                ["Facebook", "iOS", "Mobile"],
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
                ["Safari", "iOS", "Tablet"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
                ["Chrome", "Android", "Mobile"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                ["Chrome", "Android", "Tablet"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
                ["Samsung Internet", "Android", "Mobile"],
            ),
            (
                "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0",
                ["Firefox", "Android", "Mobile"],
            ),
            (
                "Mozilla/5.0 (Android 14; Tablet; rv:133.0) Gecko/133.0 Firefox/133.0",
                ["Firefox", "Android", "Tablet"],
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                ["Chrome", "ChromeOS", "Desktop"],
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 OPR/115.0.0.0",
                ["Opera", "Linux", "Desktop"],
            ),
            (
                "Opera/9.80 (Windows NT 6.1; U; en) Presto/2.10.289 Version/12.02",
                ["Opera", "Windows", "Desktop"],
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
                ["Internet Explorer", "Windows", "Desktop"],
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
                ["Internet Explorer", "Windows", "Desktop"],
            ),
            (
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager",
                ["Chrome", "webOS", "TV"],
            ),
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15",
                ["Safari", "Other", "Console"],
            ),
        ] {
            assert_eq!([family(agent).unwrap_or("none"), system(agent), device(agent)], expected, "{agent}");
        }
        assert_eq!(family("Mozilla/5.0 (compatible)"), None);
    }
}
