using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>The gallery's page in a browser.</summary>
[NonParallelizable]
public class PageTests
{
    private const string Drawn =
        "document.querySelector('.after .command code') && !document.querySelector('[aria-busy]')";
    private Served served = null!;
    private Browser browser = null!;

    [OneTimeSetUp]
    public async Task Start()
    {
        browser = await Browser.StartAsync();
        served = await Served.StartAsync();
    }

    [OneTimeTearDown]
    public async Task Stop()
    {
        if (browser is not null)
        {
            await browser.DisposeAsync();
        }

        if (served is not null)
        {
            await served.DisposeAsync();
        }
    }

    [SetUp]
    public void Forget() => browser.Complaints();

    [TearDown]
    public void NothingIsComplainedOf() => Assert.That(browser.Complaints(), Is.Empty);

    private string Address(string rest) => new Uri(served.Http.BaseAddress!, rest).ToString();

    private async Task<string> Text(string selector) =>
        (await browser.Evaluate($"document.querySelector('{selector}').textContent")).GetString()!;

    // The share of a canvas' pixels that are drawn on.
    private async Task IsDrawn(string selector)
    {
        var isBlank = await browser.Evaluate(
            $"(() => {{ const c = document.querySelector('{selector}'); return !c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0); }})()"
        );
        Assert.That(isBlank.GetBoolean(), Is.False, $"{selector} is blank");
    }

    [Test]
    public async Task OneOpensAModelWatchesItDrawAndGoesThroughTime()
    {
        await browser.Go(Address("/"));
        await browser.Until("document.querySelectorAll('a.card').length === 2");
        await browser.Click("a.card[href*=moons]");
        await browser.Until(Drawn);
        await IsDrawn(".solo canvas");
        Assert.That(await Text(".after .command code"), Does.StartWith("./fokker sample moons -n 2000 --seed 0 "));
        Assert.That(await Text(".player output"), Is.EqualTo("t = 0.00"));

        await browser.Evaluate(
            "(() => { const s = document.querySelector('.player input'); s.value = 0; s.dispatchEvent(new Event('input')); })()"
        );
        Assert.That(await Text(".player output"), Is.EqualTo("t = 1.00"));
        await browser.Click(".bar-of-tools .tool:nth-child(2)");
        Assert.That(
            (
                await browser.Evaluate("document.querySelector('.bar-of-tools .tool:nth-child(2)').ariaPressed")
            ).GetString(),
            Is.EqualTo("true")
        );
    }

    [Test]
    public async Task WhatIsDownloadedIsTheCommandLines()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-downloads-").FullName;

        try
        {
            await browser.Send("Browser.setDownloadBehavior", new { behavior = "allow", downloadPath = folder });
            await browser.Go(Address("/#/model/squares?count=4&steps=3&seed=7"));
            await browser.Until(Drawn);
            await IsDrawn(".solo canvas");
            var command = await Text(".after .command code");
            await browser.Click(".downloads a[download$=npy]");
            var file = Path.Combine(folder, "squares.npy");

            for (var k = 0; k < 2400 && !File.Exists(file); k++)
            {
                await Task.Delay(50);
            }

            Assert.That(File.ReadAllBytes(file), Is.EqualTo(served.CommandLine(command)));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public async Task ADrawingIsCancelledAndAnotherBegun()
    {
        await browser.Go(Address("/#/model/squares?count=64&steps=900"));
        await browser.Until("/step \\d/.test(document.querySelector('.status')?.textContent)");
        await browser.Click(".actions .tool");
        await browser.Until("document.querySelector('.status').textContent === 'Cancelled.'");

        await browser.Evaluate("document.querySelector('#setting-steps').value = 2");
        await browser.Click(".go");
        await browser.Until(Drawn);
        Assert.That(await Text(".status"), Does.StartWith("64 images in "));
    }

    [Test]
    public async Task TwoSolversAreComparedFromTheSameNoise()
    {
        await browser.Go(Address("/#/model/moons?count=300&steps=4&tab=compare"));
        await browser.Click(".go");
        await browser.Until(Drawn);
        await IsDrawn(".panels > :first-child canvas");
        await IsDrawn(".panels > :last-child canvas");
        Assert.That(await Text(".readout"), Does.Match("the two are 0\\.\\d+ apart"));
        Assert.That(
            (await browser.Evaluate("document.querySelectorAll('.after .command').length")).GetInt32(),
            Is.EqualTo(2)
        );
    }

    [Test]
    public async Task APartIsWipedOutWithTheBrushAndFilledIn()
    {
        await browser.Go(Address("/#/model/squares?steps=3&tab=inpaint"));
        await browser.Until("document.querySelector('.status')?.textContent.startsWith('A sample')");
        await browser.Evaluate("document.querySelector('#setting-fillings').value = 2");
        await browser.Click(".board-tools .row .tool:last-child");
        await browser.Click("canvas.board", from: 0.2, to: 0.6);
        await browser.Click(".go");
        await browser.Until(Drawn);
        await IsDrawn(".panel > .figure:not(.inpaint) canvas");
        Assert.That(await Text(".after .command code"), Does.Contain("--observe mask.json --observed seen.npy"));
    }

    [Test]
    public async Task TwoSamplesAreChosenAndInterpolated()
    {
        await browser.Go(Address("/#/model/squares?steps=3&tab=interpolate"));
        await browser.Until("document.querySelector('.player output')");
        await browser.Click(".picker button:nth-child(5)");
        Assert.That(
            (await browser.Evaluate("document.querySelector('#setting-from-sample').value")).GetString(),
            Is.EqualTo("4")
        );
        await browser.Click(".go");
        await browser.Until("document.querySelector('.status').textContent.startsWith('9 places')");
        Assert.That(await Text(".player output"), Is.EqualTo("s = 1.00"));
    }

    [Test]
    public async Task APictureOfOnesOwnHasALikelihood()
    {
        var picture = Path.Combine(served.Folder, "dropped.png");
        await File.WriteAllBytesAsync(
            picture,
            await served.Http.GetByteArrayAsync("/api/models/squares/samples.png?count=1&steps=2")
        );
        await browser.Go(Address("/#/model/squares?tab=likelihood"));
        await browser.Until("document.querySelector('#picture')");
        var root = (await browser.Send("DOM.getDocument")).GetProperty("root").GetProperty("nodeId").GetInt32();
        var input = (await browser.Send("DOM.querySelector", new { nodeId = root, selector = "#picture" }))
            .GetProperty("nodeId")
            .GetInt32();
        await browser.Send("DOM.setFileInputFiles", new { nodeId = input, files = new[] { picture } });
        await browser.Until("document.querySelector('.preview canvas')");
        await browser.Click(".go");
        await browser.Until("document.querySelector('.results li')");
        Assert.That(await Text(".results .value"), Does.Match("^−?\\d+\\.\\d\\d nats$"));
    }

    [Test]
    public async Task ARefusalIsShownAsTheServersSentence()
    {
        await browser.Go(Address("/#/model/moons?steps=3&count=50"));
        await browser.Until(Drawn);
        var file = Path.Combine(served.Folder, "moons", "model.safetensors");
        var kept = await File.ReadAllBytesAsync(file);
        await File.WriteAllBytesAsync(file, kept[..100]);

        try
        {
            await browser.Click(".go");
            await browser.Until("document.querySelector('.refusal:not([hidden])')");
            Assert.That(await Text(".refusal"), Does.StartWith("The model 'moons' cannot be loaded at present"));
        }
        finally
        {
            await File.WriteAllBytesAsync(file, kept);
        }

        // The browser's own line about the status.
        Assert.That(browser.Complaints(), Has.Length.EqualTo(1).And.All.Contains("503"));
        await browser.Click(".go");
        await browser.Until(Drawn);
    }

    [Test]
    public async Task ThePageFitsAPhoneAndItsWordsStandOut()
    {
        try
        {
            await browser.Send(
                "Emulation.setDeviceMetricsOverride",
                new
                {
                    width = 390,
                    height = 844,
                    deviceScaleFactor = 2,
                    mobile = true,
                }
            );

            foreach (var scheme in new[] { "light", "dark" })
            {
                await browser.Send(
                    "Emulation.setEmulatedMedia",
                    new { features = new[] { new { name = "prefers-color-scheme", value = scheme } } }
                );

                foreach (
                    var view in new[]
                    {
                        "",
                        "model/squares?count=4&steps=2",
                        "model/moons?count=50&steps=2&tab=compare",
                        "model/squares?steps=2&tab=inpaint",
                        "model/squares?steps=2&tab=interpolate",
                        "model/moons?tab=likelihood",
                    }
                )
                {
                    await browser.Go(Address($"/#/{view}"));
                    await browser.Until("document.querySelector('h1') && !document.querySelector('[aria-busy]')");
                    var width = await browser.Evaluate("document.documentElement.scrollWidth");
                    Assert.That(width.GetInt32(), Is.LessThanOrEqualTo(390), $"{scheme} #/{view}");
                    var faint = await browser.Evaluate(FaintWords);
                    Assert.That(faint.EnumerateArray().Select(word => word.ToString()), Is.Empty, $"{scheme} #/{view}");
                    var nameless = await browser.Evaluate(NamelessControls);
                    Assert.That(nameless.EnumerateArray().Select(word => word.ToString()), Is.Empty, $"#/{view}");
                }
            }
        }
        finally
        {
            await browser.Send("Emulation.clearDeviceMetricsOverride");
            await browser.Send("Emulation.setEmulatedMedia", new { features = Array.Empty<object>() });
        }
    }

    // Texts whose contrast against what is behind them is below WCAG's 4.5.
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

    // Buttons, links and fields without a name that is read out.
    private const string NamelessControls = """
        [...document.querySelectorAll("button, a, input, select, canvas[role]")]
          .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
          .map((e) => e.outerHTML.slice(0, 120))
        """;

    [Test]
    public async Task TheTabsGoByTheArrowKeys()
    {
        await browser.Go(Address("/#/model/moons?steps=2&count=20"));
        await browser.Until(Drawn);
        await browser.Evaluate("document.querySelector('[role=tab]').focus()");
        await browser.Send(
            "Input.dispatchKeyEvent",
            new
            {
                type = "keyDown",
                key = "ArrowRight",
                code = "ArrowRight",
            }
        );
        await browser.Until(
            "document.activeElement.textContent === 'Compare' && document.activeElement.ariaSelected === 'true'"
        );
        await browser.Send(
            "Input.dispatchKeyEvent",
            new
            {
                type = "keyDown",
                key = "Home",
                code = "Home",
            }
        );
        await browser.Until("document.activeElement.textContent === 'Draw'");
    }
}
