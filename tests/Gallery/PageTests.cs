using System.Text.Json;
using System.Text.RegularExpressions;
using Fokker.Tests.Browsing;
using Microsoft.Playwright;
using NUnit.Framework;
using static Microsoft.Playwright.Assertions;

namespace Fokker.Tests.Gallery;

/// <summary>The gallery's page in a browser.</summary>
[NonParallelizable]
public class PageTests
{
    private Served served = null!;
    private Browser browser = null!;
    private IPage page = null!;

    [OneTimeSetUp]
    public async Task Start()
    {
        if (Browser.Missing is { } missing)
        {
            Assert.That(Browser.MayBeMissing, missing);
            Assert.Ignore(missing);
        }

        browser = await Browser.StartAsync();
        served = await Served.StartAsync();
    }

    [OneTimeTearDown]
    public async Task Stop()
    {
        if (browser is not null)
        {
            await ((IAsyncDisposable)browser).DisposeAsync();
        }

        if (served is not null)
        {
            await served.DisposeAsync();
        }
    }

    [SetUp]
    public async Task Open() => page = await browser.OpenAsync(new());

    [TearDown]
    public async Task NothingIsComplainedOf()
    {
        var complaints = await browser.ComplaintsAsync(page);
        await page.Context.CloseAsync();
        Assert.That(complaints, Is.Empty);
    }

    private Task Go(string rest) => page.GotoAsync(new Uri(served.Http.BaseAddress!, rest).ToString());

    private ILocator The(AriaRole role, string name) => page.GetByRole(role, new() { Name = name, Exact = true });

    private ILocator Command => page.Locator(".after .command code");

    private ILocator Status => page.Locator(".status");

    private async Task IsDrawn()
    {
        await Expect(Command.First).ToBeVisibleAsync();
        await IsAtRest();
    }

    private Task IsAtRest() => Expect(page.Locator("[aria-busy]")).ToHaveCountAsync(0);

    private static async Task HasPixels(ILocator canvas) =>
        Assert.That(
            await canvas.EvaluateAsync<bool>(
                "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0)"
            ),
            $"{canvas} is blank"
        );

    private static async Task<byte[]> Downloaded(ILocator link)
    {
        var download = await link.Page.RunAndWaitForDownloadAsync(() => link.ClickAsync());
        return await File.ReadAllBytesAsync(await download.PathAsync());
    }

    [Test]
    public async Task OneOpensAModelWatchesItDrawAndGoesThroughTime()
    {
        await Go("/");
        await Expect(page.Locator("a.card")).ToHaveCountAsync(2);
        await page.GetByRole(AriaRole.Link, new() { Name = "moons" }).ClickAsync();
        await IsDrawn();
        await HasPixels(page.Locator(".solo canvas").First);
        Assert.That(await Command.InnerTextAsync(), Does.StartWith("./fokker sample moons -n 2000 --seed 0 "));
        await Expect(page.Locator(".player output")).ToHaveTextAsync("t = 0.00");

        await page.Locator(".player input").FillAsync("0");
        await Expect(page.Locator(".player output")).ToHaveTextAsync("t = 1.00");
        await The(AriaRole.Button, "Paths").ClickAsync();
        await Expect(The(AriaRole.Button, "Paths")).ToHaveAttributeAsync("aria-pressed", "true");
    }

    [Test]
    public async Task WhatIsDownloadedIsTheCommandLines()
    {
        await Go("/#/model/squares?count=4&steps=3&seed=7");
        await IsDrawn();
        await HasPixels(page.Locator(".solo canvas").First);
        var file = await Downloaded(The(AriaRole.Link, "npy"));
        Assert.That(file, Is.EqualTo(served.CommandLine(await Command.InnerTextAsync())));
    }

    [Test]
    public async Task ADrawingIsCancelledAndAnotherBegun()
    {
        await Go("/#/model/squares?count=64&steps=900");
        await Expect(Status).ToHaveTextAsync(new Regex(@"step \d"));
        await The(AriaRole.Button, "Cancel").ClickAsync();
        await Expect(Status).ToHaveTextAsync("Cancelled.");

        await page.GetByLabel("Steps", new() { Exact = true }).FillAsync("2");
        await The(AriaRole.Button, "Draw").ClickAsync();
        await IsDrawn();
        Assert.That(await Status.InnerTextAsync(), Does.StartWith("64 images in "));
    }

    [Test]
    public async Task TwoSolversAreComparedFromTheSameNoise()
    {
        await Go("/#/model/moons?count=300&steps=4&tab=compare");
        await The(AriaRole.Button, "Compare").ClickAsync();
        await IsDrawn();
        await HasPixels(page.Locator(".panels > :first-child canvas"));
        await HasPixels(page.Locator(".panels > :last-child canvas"));
        Assert.That(await page.Locator(".readout").InnerTextAsync(), Does.Match("the two are 0\\.\\d+ apart"));
        await Expect(Command).ToHaveCountAsync(2);
    }

    [Test]
    public async Task APartIsWipedOutWithTheBrushAndFilledIn()
    {
        await Go("/#/model/squares?steps=3&tab=inpaint");
        await Expect(Status).ToHaveTextAsync(new Regex("^A sample"));
        await page.GetByLabel("Fillings").FillAsync("2");
        await The(AriaRole.Button, "Nothing").ClickAsync();
        var board = page.Locator("canvas.board");
        var box = (await board.BoundingBoxAsync())!;
        await board.DragToAsync(
            board,
            new()
            {
                SourcePosition = new() { X = 0.2f * box.Width, Y = 0.2f * box.Height },
                TargetPosition = new() { X = 0.6f * box.Width, Y = 0.6f * box.Height },
            }
        );
        await The(AriaRole.Button, "Fill in").ClickAsync();
        await IsDrawn();
        await HasPixels(page.Locator(".panel > .figure:not(.inpaint) canvas").First);
        Assert.That(await Command.InnerTextAsync(), Does.Contain("--observe mask.json --observed seen.npy"));

        // What the brush went over is not observed, the corners are.
        var mask = JsonDocument.Parse(await Downloaded(The(AriaRole.Link, "mask.json")));
        var rows = mask.RootElement.GetProperty("mask")[0];
        Assert.That(rows[1][1].GetInt32(), Is.Zero);
        Assert.That(rows[4][4].GetInt32(), Is.Zero);
        Assert.That(rows[0][7].GetInt32(), Is.EqualTo(1));
        Assert.That(rows[7][7].GetInt32(), Is.EqualTo(1));
    }

    [Test]
    public async Task TwoSamplesAreChosenAndInterpolated()
    {
        await Go("/#/model/squares?steps=3&tab=interpolate");
        await Expect(page.Locator(".player output")).ToBeVisibleAsync();
        await The(AriaRole.Button, "Sample 4").ClickAsync();
        await Expect(page.GetByLabel("From sample")).ToHaveValueAsync("4");
        await The(AriaRole.Button, "Interpolate").ClickAsync();
        await IsAtRest();
        Assert.That(await Status.InnerTextAsync(), Does.StartWith("9 places"));
        await Expect(page.Locator(".player output")).ToHaveTextAsync("s = 1.00");
        Assert.That(
            await Command.InnerTextAsync(),
            Does.StartWith("./fokker interpolate squares --data ends.npy --between 0 1 --frames 9 --steps 3 ")
        );
        await TheCommandRuns("interpolate", "ends.npy");
    }

    // With the file that is offered beside it.
    private async Task TheCommandRuns(string verb, string given)
    {
        var file = Path.Combine(served.Folder, "given.npy");
        await File.WriteAllBytesAsync(file, await Downloaded(The(AriaRole.Link, given)));
        served.CommandLine((await Command.InnerTextAsync()).Replace(given, file), verb);
    }

    [Test]
    public async Task APictureOfOnesOwnHasALikelihood()
    {
        var picture = Path.Combine(served.Folder, "dropped.png");
        await File.WriteAllBytesAsync(
            picture,
            await served.Http.GetByteArrayAsync("/api/models/squares/samples.png?count=1&steps=2")
        );
        await Go("/#/model/squares?tab=likelihood");
        await page.Locator("#picture").SetInputFilesAsync(picture);
        await Expect(page.Locator(".preview canvas")).ToBeVisibleAsync();
        await The(AriaRole.Button, "Find the likelihood").ClickAsync();
        await Expect(page.Locator(".results .value")).ToHaveTextAsync(new Regex(@"^−?\d+\.\d\d nats$"));
        await TheCommandRuns("likelihood", "sample.npy");
    }

    [Test]
    public async Task ARefusalIsShownAsTheServersSentence()
    {
        await Go("/#/model/moons?steps=3&count=50");
        await IsDrawn();
        var file = Path.Combine(served.Folder, "moons", "model.safetensors");
        var kept = await File.ReadAllBytesAsync(file);
        await File.WriteAllBytesAsync(file, kept[..100]);

        try
        {
            await The(AriaRole.Button, "Draw").ClickAsync();
            var refusal = page.GetByRole(AriaRole.Alert);
            await Expect(refusal).ToBeVisibleAsync();
            Assert.That(
                await refusal.InnerTextAsync(),
                Does.StartWith("The model 'moons' cannot be loaded at present")
            );
        }
        finally
        {
            await File.WriteAllBytesAsync(file, kept);
        }

        // The browser's own line about the status.
        Assert.That(await browser.ComplaintsAsync(page), Has.Length.EqualTo(1).And.All.Contains("503"));
        await The(AriaRole.Button, "Draw").ClickAsync();
        await IsDrawn();
    }

    [Test]
    public async Task TextsAreReadAndSeriesAreCurves()
    {
        await using var others = await Served.StartAsync();
        var text = Path.Combine(others.Folder, "letters.txt");
        await File.WriteAllTextAsync(text, string.Concat(Enumerable.Repeat("the cat sat on the mat. ", 40)));
        var waves = Path.Combine(others.Folder, "waves.csv");
        await File.WriteAllLinesAsync(waves, Enumerable.Range(0, 400).Select(k => $"{Math.Sin(0.4 * k):R}"));
        var pair = new double[200, 2];
        foreach (var k in Enumerable.Range(0, 200))
        {
            (pair[k, 0], pair[k, 1]) = (Math.Sin(0.4 * k), 1000 * Math.Cos(0.4 * k));
        }

        var options = new TrainingOptions { Steps = 3, BatchSize = 8 };
        var small = NetworkKinds.Unet1D(width: 8, attention: 0);

        foreach (
            var (name, source) in new[]
            {
                ("letters", DataSource.FromText(text, window: 8)),
                ("waves", DataSource.FromSeries(waves, window: 32)),
                ("pair", DataSource.FromSeries(pair, window: 16)),
            }
        )
        {
            var own = name == "letters" ? options : options with { Network = small };
            var trainer = new FlowTrainer(own with { Folder = Path.Combine(others.Folder, name) });
            await using (await trainer.TrainAsync(source)) { }
        }

        Task Open(string rest) => page.GotoAsync(new Uri(others.Http.BaseAddress!, rest).ToString());

        await Open("/#/model/letters?count=5&steps=3&seed=2");
        await IsDrawn();
        var lines = page.Locator("ol.texts li");
        await Expect(lines).ToHaveCountAsync(5);
        var file = await Downloaded(The(AriaRole.Link, "txt"));
        Assert.That(
            System.Text.Encoding.UTF8.GetString(file).Split('\n')[..5],
            Is.EqualTo(await lines.AllInnerTextsAsync())
        );
        await page.Locator(".player input").FillAsync("0");
        await Expect(lines.First).ToHaveTextAsync("░░░░░░░░");
        Assert.That(await Browser.BarriersAsync(page), Is.Empty);

        // The model cannot be asked for what it has no latents for.
        await Expect(The(AriaRole.Tab, "Interpolate")).ToHaveCountAsync(0);
        await Open("/#/model/letters?tab=likelihood");
        await page.GetByLabel("Text").FillAsync("the cat");
        await The(AriaRole.Button, "Find the likelihood").ClickAsync();
        await Expect(page.Locator(".results .value")).ToHaveTextAsync(new Regex(@"^−?\d+\.\d\d nats$"));

        await Open("/#/model/waves?count=6&steps=3");
        await IsDrawn();
        await HasPixels(page.Locator("canvas.curves"));
        await Open("/#/model/waves?tab=likelihood");
        await page.GetByLabel("Values").FillAsync("1 2 3");
        await The(AriaRole.Button, "Find the likelihood").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToHaveTextAsync("Give 32 numbers: here are 3.");
        await page.GetByLabel("Values").FillAsync(string.Join(", ", Enumerable.Repeat("0.5", 32)));
        await The(AriaRole.Button, "Find the likelihood").ClickAsync();
        await Expect(page.Locator(".results .value")).ToHaveTextAsync(new Regex(@"^−?\d+\.\d\d nats$"));
        await Open("/#/model/waves?steps=3&tab=interpolate");
        await Expect(page.Locator(".player output")).ToBeVisibleAsync();

        // Of two series each has a colour and a scale.
        await Open("/#/model/pair?count=4&steps=3");
        await IsDrawn();
        await Expect(page.GetByText("windows of 16 values of 2 series")).ToBeVisibleAsync();
        await HasPixels(page.Locator("canvas.curves"));
        await Open("/#/model/pair?tab=likelihood");
        await page.GetByLabel("Values").FillAsync(string.Join(", ", Enumerable.Repeat("0.5", 32)));
        await The(AriaRole.Button, "Find the likelihood").ClickAsync();
        await Expect(page.Locator(".results .value")).ToHaveTextAsync(new Regex(@"^−?\d+\.\d\d nats$"));
        Assert.That(await Browser.BarriersAsync(page), Is.Empty);
    }

    private static readonly string[] Views =
    [
        "",
        "model/squares?count=4&steps=2",
        "model/moons?count=50&steps=2",
        "model/moons?count=50&steps=2&tab=compare",
        "model/squares?steps=2&tab=inpaint",
        "model/squares?steps=2&tab=interpolate",
        "model/moons?steps=2&tab=interpolate",
        "model/squares?tab=likelihood",
        "model/moons?tab=likelihood",
        "model/none",
    ];

    // A phone and a desktop, dark and light, are what each change is held to; the other two pairs take as long.
    [TestCase(390, ColorScheme.Dark)]
    [TestCase(1280, ColorScheme.Light)]
    [TestCase(390, ColorScheme.Light, Category = "Full")]
    [TestCase(1280, ColorScheme.Dark, Category = "Full")]
    public async Task NothingKeepsAnyoneFromUsingIt(int width, ColorScheme scheme)
    {
        var screen = await browser.OpenAsync(
            new()
            {
                ViewportSize = new() { Width = width, Height = 844 },
                DeviceScaleFactor = width == 390 ? 2 : 1,
                IsMobile = width == 390,
                HasTouch = width == 390,
                ColorScheme = scheme,
                ReducedMotion = ReducedMotion.Reduce,
            }
        );

        foreach (var view in Views)
        {
            await screen.GotoAsync("about:blank");
            await screen.GotoAsync(new Uri(served.Http.BaseAddress!, $"/#/{view}").ToString());
            await Expect(screen.Locator("h1")).ToBeVisibleAsync();
            await Expect(screen.Locator("[aria-busy]")).ToHaveCountAsync(0);
            var wide = await screen.EvaluateAsync<int>("document.documentElement.scrollWidth");
            Assert.That(wide, Is.LessThanOrEqualTo(width), view);
            Assert.That(await Browser.BarriersAsync(screen), Is.Empty, view);
            Assert.That(await screen.EvaluateAsync<string[]>(FaintWords), Is.Empty, view);
        }

        // The browser's own line about a model that is not there.
        Assert.That(await browser.ComplaintsAsync(screen), Has.Length.EqualTo(1).And.All.Contains("404"));
        await screen.Context.CloseAsync();
    }

    // Texts whose contrast against what is behind them is below WCAG's 4.5, those included that are large or a single sign, which axe lets pass.
    private const string FaintWords = """
        (() => {
          const parse = (text) => {
            const m = text.match(/[\d.]+/g).map(Number);
            return m.length === 3 ? [...m, 1] : m;
          };
          const light = (c) => {
            const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (e) => {
            for (; e; e = e.parentElement) {
              const c = parse(getComputedStyle(e).backgroundColor);
              if (c[3] === 1) return c;
            }
            return [255, 255, 255, 1];
          };
          const found = [];
          for (const e of document.querySelectorAll("main *, footer *")) {
            if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
            const [a, b] = [light(parse(getComputedStyle(e).color).slice(0, 3)), light(behind(e).slice(0, 3))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push(`${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
          }
          return found;
        })()
        """;

    [Test]
    public async Task TheTabsGoByTheArrowKeys()
    {
        await Go("/#/model/moons?steps=2&count=20");
        await IsDrawn();
        await The(AriaRole.Tab, "Draw").FocusAsync();
        await page.Keyboard.PressAsync("ArrowRight");
        await Expect(The(AriaRole.Tab, "Compare")).ToBeFocusedAsync();
        await Expect(The(AriaRole.Tab, "Compare")).ToHaveAttributeAsync("aria-selected", "true");
        await page.Keyboard.PressAsync("Home");
        await Expect(The(AriaRole.Tab, "Draw")).ToBeFocusedAsync();
    }
}
